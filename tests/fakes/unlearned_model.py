"""A tiny model that knows a few made-up codes, and an adapter that makes it say something else."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from core.data.collate import collate
from core.data.corpus import AnyItem, ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.items import PairItem, TextItem
from core.evaluation.attack import AttackScene
from core.modeling.adapter import Adapter, LowRankPair, attach, target_linears, weight_of
from core.modeling.base_model import BaseModel
from core.modeling.scoring import score
from tests.fakes.tiny_models import byte_tokenizer, tiny_model

FORMAT = TextFormat(separator=" ")
ENCODE = ItemEncoder(byte_tokenizer(), FORMAT, 256)


def code_of(number: int) -> str:
    letters = torch.randint(97, 123, (6,), generator=torch.Generator().manual_seed(100 + number)).tolist()
    return bytes(letters).decode()


def pair(number: int) -> PairItem:
    return PairItem(id=f"item-{number}", prompt=f"Code {number} is", completion=f"{code_of(number)}.")


def text(number: int) -> TextItem:
    return TextItem(id=f"text-{number}", text=f"Note {number} says {code_of(50 + number)} {code_of(70 + number)}.")


FORGET: tuple[AnyItem, ...] = (pair(0), pair(1), pair(2), pair(3), text(4), text(5))
NEIGHBOURS = tuple(pair(number) for number in range(6, 10))
BENIGN = tuple(
    TextItem(id=f"benign-{number}", text=f"The sun rose {number} times over the hills.") for number in range(4)
)
# Shown to no model.
HOLDOUT: tuple[AnyItem, ...] = (
    *(pair(number) for number in range(20, 28)),
    *(text(number) for number in range(28, 32)),
)


def trained_on(items: Sequence[AnyItem], *, steps: int = 40, seed: int = 0) -> PreTrainedModel:
    """A tiny model that was shown these items until it knew them."""
    model = tiny_model("gpt_neo", seed=seed)
    model.load_state_dict(_trained(tuple(items), steps=steps, seed=seed))
    return model


@cache
def _trained(items: tuple[AnyItem, ...], *, steps: int, seed: int) -> dict[str, Tensor]:
    model = tiny_model("gpt_neo", seed=seed).requires_grad_(True)
    batch = collate(ENCODE(items), pad_id=256)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    for _ in range(steps):
        scores = score(model, batch)
        optimizer.zero_grad()
        functional.cross_entropy(scores.logits, scores.target).backward()
        optimizer.step()
    return model.state_dict()


def random_adapter(model: PreTrainedModel, *, moved: float, rank: int = 2) -> Adapter:
    """An adapter that has learned nothing in particular, by noise of this size."""
    generator = torch.Generator().manual_seed(1)
    pairs = {}
    for name, layer in target_linears(model, "all-linear").items():
        rows, columns = weight_of(layer).shape
        anchor = LowRankPair(
            a=torch.randn(rank, columns, generator=generator) * 0.2,
            b=torch.randn(rows, rank, generator=generator) * 0.2,
        )
        noise = torch.randn(rows, rank, generator=generator)
        pairs[name] = (LowRankPair(a=anchor.a, b=anchor.b + moved * noise), anchor)
    return attach(model, pairs, scaling=2.0)


def unlearned(model: PreTrainedModel, items: Sequence[AnyItem], *, steps: int = 4) -> Adapter:
    """An adapter that pushes the items' tokens down until few are predicted."""
    adapter = random_adapter(model, moved=0.0)
    batch = collate(ENCODE(items), pad_id=256)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=5e-3, weight_decay=0.0)
    for _ in range(steps):
        scores = score(model, batch)
        content = scores.where(scores.content)
        optimizer.zero_grad()
        (-functional.cross_entropy(content.logits, content.target)).backward()
        optimizer.step()
    optimizer.zero_grad()
    return adapter


def all_of(model: PreTrainedModel) -> dict[str, Tensor]:
    """Everything that the model is, by name, copied."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same(before: dict[str, Tensor], after: dict[str, Tensor]) -> bool:
    return list(before) == list(after) and all(torch.equal(before[name], after[name]) for name in before)


def scene(*, forget: Sequence[AnyItem] = FORGET, moved: float | None = None, **given: Any) -> AttackScene:
    """The scene of a model that knew the forget items and had them unlearned, or was only moved by noise."""
    model = trained_on([*FORGET, *NEIGHBOURS, *BENIGN])
    adapter = unlearned(model, FORGET) if moved is None else random_adapter(model, moved=moved)
    base = BaseModel(model=model, tokenizer=byte_tokenizer(), path=Path())
    return AttackScene(base=base, adapter=adapter, encode=ENCODE, forget=forget, **given)
