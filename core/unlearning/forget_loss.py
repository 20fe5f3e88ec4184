from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from core.data.corpus import Example
from core.modeling.base_model import BaseModel
from core.modeling.scoring import TokenScores


@dataclass(frozen=True)
class Needs:
    """What a forget loss must be given besides the logits. Each costs something, so it is asked for."""

    reference: bool = False  # the base model's logits: one more forward pass
    hidden: int | None = None  # hidden states behind this decoder layer
    rewritten: bool = False  # the same prompts with a refusal as completion: as many rows again


@dataclass(frozen=True)
class Rewritten:
    """The rows of a forget batch with another completion, in the same order."""

    scores: TokenScores
    reference: Tensor | None  # (M, V)


@dataclass(frozen=True)
class ForgetBatch:
    """What a forget loss sees: the content places of some forget rows, and what it asked for."""

    scores: TokenScores  # N places
    place: Tensor  # (N,) int64, the content token's number, counted through the whole forget set
    reference: Tensor | None = None  # (N, V) the base model's logits at the same places
    hidden: Tensor | None = None  # (N, D)
    rewritten: Rewritten | None = None


class ForgetLoss(Protocol):
    """What is minimised to forget. A mean over the places or rows of a batch, so its size does not matter."""

    @property
    def needs(self) -> Needs:
        """Return what the batch must carry."""
        ...

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return a scalar, float32. EmptyBatchError when the batch has no place."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """What a forget loss may be made from, once, before training."""

    base: BaseModel
    forget: Sequence[Example]
    seed: int
