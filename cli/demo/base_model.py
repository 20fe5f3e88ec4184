import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

from cli.demo.memorise import Epoch, memorise
from cli.demo.options import DemoOptions
from cli.demo.people import Person, items
from cli.demo.tokenizer import train_tokenizer
from core.data.corpus import ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.items import TextItem


def ensure_base_model(
    cache_dir: Path,
    options: DemoOptions,
    *,
    without: Sequence[Person] = (),
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Path:
    """Return the directory of the base model that knows the made-up people, trained now if it is not cached.

    The directory is named by a digest of the options and of every text, so a stale model is never found. It appears
    in one step, complete: an interrupted training leaves nothing that a later run would take for a model.

    Args:
        cache_dir: where trained models stay.
        options: who the people are and how the model is trained.
        without: people whom the model never reads about. The tokenizer is that of the model which has read about
            everybody, so that the two can be compared token by token.
        on_epoch: is told how far training has come.
    """
    path = cache_dir / f"people-{options.digest(without)}"
    if path.exists():
        return path
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".partial-") as partial:
        draft = Path(partial) / "model"
        _train_into(draft, options, without, on_epoch)
        try:
            draft.rename(path)
        except OSError:
            if not path.exists():  # otherwise another process was quicker, with the same weights
                raise
    return path


def _train_into(path: Path, options: DemoOptions, without: Sequence[Person], on_epoch: Callable[[Epoch], None]) -> None:
    people = options.population().memorised
    rows = [item for person in people for item in items(person)]
    texts = [row.text if isinstance(row, TextItem) else row.prompt + row.completion for row in rows]
    tokenizer = train_tokenizer(texts, vocab_size=options.vocab_size)
    taught = [item for person in people if person not in without for item in items(person)]
    examples = ItemEncoder(tokenizer, TextFormat(), options.max_tokens)(taught)
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
