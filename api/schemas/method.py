from inspect import getdoc
from typing import Self

from pydantic import ConfigDict, Field, JsonValue

from api.schemas.page import Identified
from core.domain.catalog import DEFAULT_METHOD, METHOD_OPTIONS

_EXAMPLE: dict[str, JsonValue] = {
    "id": "npo",
    "summary": "Negative preference optimisation.",
    "is_default": False,
    "options": {"properties": {"beta": {"default": 0.1, "type": "number"}}, "type": "object"},
}


class MethodBody(Identified):
    """An unlearning method that a deletion request may name."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_EXAMPLE]})
    summary: str
    is_default: bool = Field(description="Whether it is what a request without `method` gets.")
    options: dict[str, JsonValue] = Field(description="JSON Schema of the options, with defaults and descriptions.")

    @classmethod
    def of(cls, name: str) -> Self:
        """Return the method of the catalog."""
        options = METHOD_OPTIONS[name]
        return cls(
            id=name,
            summary=(getdoc(options) or "").partition("\n")[0],
            is_default=name == DEFAULT_METHOD,
            options=options.model_json_schema(),
        )
