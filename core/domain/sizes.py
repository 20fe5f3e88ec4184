"""How much there is to read and to compute with, as plain numbers that outlive the texts."""

from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class SetSize(BaseModel):
    """How much there is to read in a set of items, in tokens of the base model."""

    model_config = _FROZEN
    num_items: int = Field(ge=1)
    num_tokens: int = Field(ge=1)
    longest: int = Field(ge=1)  # item
    wording_tokens: int = Field(default=0, ge=0)  # of the other wordings, which are measured and never trained on

    @classmethod
    def of(cls, tokens: Sequence[int], *, wording_tokens: int = 0) -> Self:
        """Return the size of a set whose items have so many tokens each."""
        return cls(num_items=len(tokens), num_tokens=sum(tokens), longest=max(tokens), wording_tokens=wording_tokens)

    def tokens_of(self, at_most: int) -> float:
        """Return how many tokens so many of the items have on average, or all of them if there are fewer."""
        return min(self.num_items, at_most) * self.num_tokens / self.num_items


class ModelSizes(BaseModel):
    """What time and memory depend on beside the number of parameters, as registration found it."""

    model_config = _FROZEN
    vocab_size: int = Field(ge=1)
    hidden_size: int = Field(ge=1)
    linear_features: tuple[int, ...]  # inputs plus outputs of each of the base model's ``linear_names``
    retain: SetSize | None = None
    holdout: SetSize | None = None
    general: SetSize | None = None
