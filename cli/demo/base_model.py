import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

from cli.demo.memorise import Epoch, memorise
from cli.demo.options import DemoOptions
from cli.demo.people import items
from cli.demo.tokenizer import train_tokenizer
from core.data.corpus import ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.items import TextItem


def ensure_base_model(
    cache_dir: Path, options: DemoOptions, *, on_epoch: Callable[[Epoch], None] = lambda _: None
) -> Path:
    """Return the directory of the base model that knows the made-up people, trained now if it is not cached.

    The directory is named by a digest of the options and of every text, so a stale model is never found. It appears
    in one step, complete: an interrupted training leaves nothing that a later run would take for a model.
    """
    path = cache_dir / f"people-{options.digest()}"
    if path.exists():
        return path
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".partial-") as partial:
        draft = Path(partial) / "model"
        _train_into(draft, options, on_epoch)
        try:
            draft.rename(path)
        except OSError:
            if not path.exists():  # otherwise another process was quicker, with the same weights
                raise
    return path


def _train_into(path: Path, options: DemoOptions, on_epoch: Callable[[Epoch], None]) -> None:
    rows = [item for person in options.population().memorised for item in items(person)]
    texts = [row.text if isinstance(row, TextItem) else row.prompt + row.completion for row in rows]
    tokenizer = train_tokenizer(texts, vocab_size=options.vocab_size)
    examples = ItemEncoder(tokenizer, TextFormat(), options.max_tokens)(rows)
    model = _make_model(tokenizer, options)
    memorise(model, examples, options, pad_id=int(tokenizer.pad_token_id), on_epoch=on_epoch)
    with _quiet_transformers():
        model.save_pretrained(path)
    tokenizer.save_pretrained(path)


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep the library's own progress bar, of one file, from tearing ours."""
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()


def _make_model(tokenizer: PreTrainedTokenizerFast, options: DemoOptions) -> GPTNeoForCausalLM:
    """Return a GPT-Neo with random weights, from the seed and without touching the caller's random state."""
    config = GPTNeoConfig(
        vocab_size=len(tokenizer),
        hidden_size=options.hidden_size,
        intermediate_size=4 * options.hidden_size,
        num_layers=options.num_layers,
        num_heads=options.num_heads,
        attention_types=[[["global", "local"], options.num_layers // 2]],
        window_size=options.max_tokens // 2,
        max_position_embeddings=options.max_tokens,
        activation_function="gelu_pytorch_tanh",  # the same curve as gelu_new, in one kernel
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        return GPTNeoForCausalLM(config)
