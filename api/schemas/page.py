from collections.abc import Sequence
from typing import Annotated, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class Identified(BaseModel):
    """A wire body that a cursor can name. A model and not a protocol, because pydantic must know the bound too."""

    model_config = ConfigDict(frozen=True)
    id: str


T = TypeVar("T", bound=Identified)

After = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/-]{1,128}$")] | None,
    Field(description="Cursor: the `last_id` of the page before."),
]
Limit = Annotated[int, Field(ge=1, le=100, description="How many at most.")]


class ListBody(BaseModel, Generic[T]):
    """One page of a list. Pass ``last_id`` as ``after`` for the next."""

    model_config = ConfigDict(frozen=True)
    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool
    first_id: str | None
    last_id: str | None

    @classmethod
    def of(cls, data: Sequence[T], *, has_more: bool) -> Self:
        """Return the page with its cursors."""
        return cls(
            data=list(data),
            has_more=has_more,
            first_id=data[0].id if data else None,
            last_id=data[-1].id if data else None,
        )
