from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from core.data.corpus import Example
from core.modeling.base_model import BaseModel
from core.modeling.token_states import TokenStates


@dataclass(frozen=True)
class Needs:
    """What a forget loss must be given besides its own predictions. Each costs something, so it is asked for."""

    reference: bool = False  # what the base model predicts: one more forward pass
    hidden: int | None = None  # hidden states behind this decoder layer
    rewritten: bool = False  # the same prompts with a refusal as completion: as many rows again


@dataclass(frozen=True)
class ForgetBatch:
    """What a forget loss sees: the content places of some forget rows, and what it asked for."""

    states: TokenStates  # N places, with the base model's states if asked for
    place: Tensor  # (N,) int64, the content token's number, counted through the whole forget set
    hidden: Tensor | None = None  # (N, D) behind the decoder layer that was asked for
    rewritten: TokenStates | None = None  # M places of the same rows, in the same order, with another completion


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
