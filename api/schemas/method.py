from inspect import getdoc
from typing import Self

from pydantic import ConfigDict, Field, JsonValue

from api.schemas.page import Identified
from core.domain.catalog import DEFAULT_METHOD, METHOD_OPTIONS
from core.domain.options import NeededItems

_EXAMPLE: dict[str, JsonValue] = {
    "id": "npo",
    "summary": "Negative preference optimisation.",
    "is_default": False,
    "needs_items": "any",
    "options": {"properties": {"beta": {"default": 0.1, "type": "number"}}, "type": "object"},
}


class MethodBody(Identified):
    """An unlearning method that a deletion request may name."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_EXAMPLE]})
    summary: str
    is_default: bool = Field(description="Whether it is what a request without `method` gets.")
    needs_items: NeededItems = Field(
        description="What each forget item must have: anything, a prompt, or a subject that occurs in its prompt."
    )
    options: dict[str, JsonValue] = Field(description="JSON Schema of the options, with defaults and descriptions.")

    @classmethod
    def of(cls, name: str) -> Self:
        """Return the method of the catalog."""
        options = METHOD_OPTIONS[name]
        return cls(
            id=name,
            summary=(getdoc(options) or "").partition("\n")[0],
            is_default=name == DEFAULT_METHOD,
            needs_items=options.needs_items,
            options=options.model_json_schema(),
        )
