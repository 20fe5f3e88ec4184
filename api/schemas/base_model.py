from typing import Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from api.schemas.page import After, Identified, Limit
from api.schemas.time import Time
from api.settings import ApiSettings
from core.domain.base_model import RegisteredBaseModel, TextFormat
from core.domain.catalog import METHOD_OPTIONS

_EXAMPLE: JsonDict = {
    "id": "people/neo-6m",
    "architecture": "GPTNeoForCausalLM",
    "num_parameters": 6000000,
    "num_layers": 5,
    "revision": None,
    "weights_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "text_format": {
        "join": "separator",
        "separator": " ",
        "ends_with_eos": True,
        "measured": True,
        "template_tokens": 0,
    },
    "num_retain_items": 400,
    "num_holdout_items": 0,
    "num_general_items": 0,
    "has_reference": False,
    "methods": [*METHOD_OPTIONS],
    "limits": {
        "max_tokens": 256,
        "max_item_characters": 20000,
        "max_forget_items": 1000,
        "max_retain_items": 10000,
        "max_body_bytes": 33554432,
    },
    "created_at": "2026-01-02T03:04:05Z",
}


class RequestLimits(BaseModel):
    """How much one deletion request may hold."""

    model_config = ConfigDict(frozen=True)
    max_tokens: int = Field(description="Tokens of one item, as this base model counts them.")
    max_item_characters: int
    max_forget_items: int
    max_retain_items: int
    max_body_bytes: int


class BaseModelBody(Identified):
    """A base model that a deletion request may name."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_EXAMPLE]})
    architecture: str
    num_parameters: int
    num_layers: int | None = Field(description="Decoder layers, which some methods name; null if not known.")
    revision: str | None = Field(description="Commit of a hub model; null for a local one.")
    weights_sha256: str
    text_format: TextFormat
    num_retain_items: int = Field(description="0 means that a request must bring its own `retain`.")
    num_holdout_items: int
    num_general_items: int = Field(description="0 means that no general corpus is registered.")
    has_reference: bool = Field(
        description="Whether a model trained without what requests ask to be forgotten is registered, to compare with."
    )
    methods: list[str] = Field(description="Names that `method.name` may have.")
    limits: RequestLimits
    created_at: Time

    @classmethod
    def of(cls, model: RegisteredBaseModel, settings: ApiSettings) -> Self:
        """Return the model without where it is kept: a local path is nobody's business."""
        return cls(
            id=model.id,
            architecture=model.architecture,
            num_parameters=model.num_parameters,
            num_layers=model.num_layers,
            revision=model.revision,
            weights_sha256=model.weights_sha256,
            text_format=model.text_format,
            num_retain_items=model.num_retain_items,
            num_holdout_items=model.num_holdout_items,
            num_general_items=model.num_general_items,
            has_reference=model.reference is not None,
            methods=list(METHOD_OPTIONS),
            limits=RequestLimits(
                max_tokens=model.max_tokens,
                max_item_characters=settings.max_item_characters,
                max_forget_items=settings.max_forget_items,
                max_retain_items=settings.max_retain_items,
                max_body_bytes=settings.max_body_bytes,
            ),
            created_at=model.created_at,
        )


class BaseModelsQuery(BaseModel):
    """Which base models to list."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    after: After = None
    limit: Limit = 20
