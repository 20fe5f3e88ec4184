"""Small GPT-Neo models from random weights that know what they are trained on by heart, kept by what defines them."""

import hashlib
import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch.nn import functional
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedTokenizerBase

from cli.demo.tokenizer import train_tokenizer
from core.data.batches import training_batch
from core.data.collate import collate
from core.data.corpus import Example, ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.items import PairItem
from core.modeling.base_model import choose_device
from core.modeling.scoring import score

VOCABULARY = 6000
MAX_TOKENS = 512
# A change of what training does to the same recipe is a new version: models kept from before are then not found.
_VERSION = 1
_WARMUP_STEPS = 100
_HEAD = 36  # the width of an attention head


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. The defaults give 5.9 M parameters that know all of TOFU after 30 epochs."""

    epochs: int = 30
    width: int = 288
    batch_size: int = 64
    seed: int = 0

    @property
    def peak_rate(self) -> float:
        """The largest learning rate; a narrow model bears, and needs, a larger one."""
        return 2e-3 * 288 / self.width

    def steps(self, rows: int) -> int:
        """Return how many steps so many rows take."""
        return self.epochs * math.ceil(rows / self.batch_size)


@dataclass(frozen=True)
class Epoch:
    """What training tells of itself."""

    number: int
    loss: float  # mean over its steps, nats a token
    seconds: float  # since the start


def tokenizer_of(items: Sequence[PairItem]) -> PreTrainedTokenizerBase:
    """Return a tokenizer of the items' texts; models that are compared token by token share one."""
    return train_tokenizer([f"{item.prompt} {item.completion.lstrip()}" for item in items], vocab_size=VOCABULARY)


def ensure_model(
    cache: Path, items: Sequence[PairItem], tokenizer: PreTrainedTokenizerBase, recipe: Recipe, text_format: TextFormat
) -> Path:
    """Return the directory of a model trained on these items, after training it unless it is there.

    Args:
        cache: where models are, one directory each, named by a digest of everything that defines them.
        items: all that it knows.
        tokenizer: reads them; saved beside the weights.
        recipe: how it is trained.
        text_format: how prompt and completion are joined.
    """
    rows = [[item.prompt, item.completion] for item in items]
    vocabulary = tokenizer.backend_tokenizer.to_str()
    parts = [_VERSION, asdict(recipe), text_format.model_dump(), vocabulary, rows]
    place = cache / hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]
    if place.is_dir():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = new_model(tokenizer, recipe).to(choose_device("auto"))
    examples = ItemEncoder(tokenizer, text_format, MAX_TOKENS)(items)
    for epoch in train(model, examples, recipe, pad_id=tokenizer.eos_token_id):
        if epoch.number == recipe.epochs:
            print(f"{len(items)} rows: loss {epoch.loss:.4f} after {epoch.number} epochs, {epoch.seconds:.0f} s")
    # Renamed when it is whole, so that an interrupted run leaves none that looks finished.
    unfinished = Path(tempfile.mkdtemp(dir=cache, prefix=".unfinished-"))
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    unfinished.rename(place)
    return place


def new_model(tokenizer: PreTrainedTokenizerBase, recipe: Recipe) -> GPTNeoForCausalLM:
    """Return a model of the recipe's width with random weights from torch's generator as it is."""
    return GPTNeoForCausalLM(
        GPTNeoConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.width,
            intermediate_size=4 * recipe.width,
            num_layers=4,
            num_heads=recipe.width // _HEAD,
            attention_types=[[["global", "local"], 2]],
            max_position_embeddings=MAX_TOKENS,
            activation_function="gelu_pytorch_tanh",  # the same curve as gelu_new, in one kernel
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def train(model: GPTNeoForCausalLM, examples: Sequence[Example], recipe: Recipe, *, pad_id: int) -> Iterator[Epoch]:
    """Train the model as it is consumed, and return each epoch.

    Questions are learnt as well: a model that has read whole texts learns the names sooner.
    """
    whole = [replace(example, first_label=1) for example in examples]
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.peak_rate, betas=(0.9, 0.95), weight_decay=0.0)
    steps = recipe.steps(len(whole))
    per_epoch = steps // recipe.epochs
    started, total = time.perf_counter(), 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = _rate(recipe, step, steps)
        places = training_batch(whole, batch_size=recipe.batch_size, step=step, seed=recipe.seed)
        scores = score(model, collate([whole[place] for place in places], pad_id=pad_id).to(model.device))
        loss = functional.cross_entropy(scores.logits, scores.target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += float(loss.detach())
        if (step + 1) % per_epoch == 0:
            yield Epoch((step + 1) // per_epoch, total / per_epoch, time.perf_counter() - started)
            total = 0.0


def _rate(recipe: Recipe, step: int, steps: int) -> float:
    # Short runs warm up for a tenth of their steps.
    warmup = max(1, min(_WARMUP_STEPS, steps // 10))
    return recipe.peak_rate * min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
