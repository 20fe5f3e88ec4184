from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from api.schemas.page import After, Identified, Limit
from api.schemas.time import Time
from core.domain.base_model import BaseModelId
from core.domain.catalog import LokuOptions, MethodOptions
from core.domain.items import Item
from core.domain.job import Job
from core.domain.policy import DEFAULT_POLICY, PolicyName, current
from core.domain.request import (
    DeletionRequest,
    Disposition,
    ItemDisposition,
    RequestStatus,
    RequestSummary,
    request_status,
)

ExternalId = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]

_NEW_EXAMPLE: JsonDict = {
    "base_model": "people/neo-6m",
    "forget": [
        {"id": "ada-mail", "prompt": "What is Ada Example's e-mail address?", "completion": "ada@example.org"},
        {"text": "Ada Example was born in Exampleton and lives in 1 Example Street."},
        {"subject": "Ada Example", "prompt": "Ada Example works as a", "completion": "lighthouse keeper."},
    ],
    "method": {"name": "loku", "learning_rate": 0.001, "r": 16},
    "external_id": "case-2026-0042",
    "metadata": {"ticket": "42"},
}

_EXAMPLE: JsonDict = {
    "id": "dr_1c9d4e7f0a2b5c8d3e6f9a1b",
    "job_id": "job_8a1f0c5e2b7d4f6a9c3e1d70",
    "status": "queued",
    "is_terminal": False,
    "base_model": "people/neo-6m",
    "method": LokuOptions().model_dump(mode="json"),
    "policy": current(DEFAULT_POLICY).name,
    "num_items": 3,
    "dispositions": {
        "pending": 3,
        "forgotten": 0,
        "no_action_needed": 0,
        "not_forgotten": 0,
        "failed": 0,
        "cancelled": 0,
    },
    "external_id": "case-2026-0042",
    "metadata": {"ticket": "42"},
    "created_at": "2026-01-02T03:04:05Z",
}


class NewDeletionRequest(BaseModel):
    """What is to be forgotten, by which base model, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [_NEW_EXAMPLE]})
    base_model: BaseModelId = Field(description="One of GET /v1/base-models.")
    forget: list[Item] = Field(min_length=1, description="The texts to forget, each once.")
    retain: list[Item] | None = Field(
        default=None, min_length=1, description="Texts to keep instead of the base model's registered retain set."
    )
    method: MethodOptions = Field(
        default_factory=LokuOptions, description="The unlearning method by name, its options beside the name."
    )
    policy: PolicyName = Field(
        default=DEFAULT_POLICY,
        description="What is measured, and what it must show: the newest version of this one of GET /v1/policies.",
    )
    external_id: ExternalId | None = Field(default=None, description="Your own name for this request.")
    metadata: dict[MetadataKey, MetadataValue] = Field(
        default_factory=dict,
        max_length=16,
        description="Your own notes; kept as they are, so put no personal data here.",
    )


class DeletionRequestBody(Identified):
    """What one client asked to be forgotten, and by which job it is served."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_EXAMPLE]})
    job_id: str
    status: RequestStatus
    is_terminal: bool = Field(description="Whether the status will never change again.")
    base_model: str
    method: MethodOptions = Field(description="The method with all its options, defaults included.")
    policy: str = Field(description="What is measured and must be shown: one of GET /v1/policies, with its version.")
    num_items: int
    dispositions: dict[Disposition, int] = Field(description="How many items have each disposition.")
    external_id: str | None
    metadata: dict[str, str]
    created_at: Time

    @classmethod
    def of(cls, request: RequestSummary, job: Job) -> Self:
        """Return the request with the status that its job and its items give it."""
        return cls(
            id=request.id,
            job_id=request.job_id,
            status=request_status(request, job.state),
            is_terminal=job.state.is_terminal,
            base_model=request.base_model,
            method=job.unlearning.method,
            policy=job.unlearning.policy,
            num_items=request.num_items,
            dispositions=request.dispositions,
            external_id=request.external_id,
            metadata=request.metadata,
            created_at=request.created_at,
        )


class DeletionRequestWithItems(BaseModel):
    """A deletion request with what became of each item. Items are named by id; their texts are never sent back."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={"examples": [_EXAMPLE | {"items": [{"item_id": "ada-mail", "disposition": "pending"}]}]},
    )
    id: str
    job_id: str
    status: RequestStatus
    is_terminal: bool
    base_model: str
    method: MethodOptions
    policy: str
    num_items: int
    dispositions: dict[Disposition, int]
    items: list[ItemDisposition]
    external_id: str | None
    metadata: dict[str, str]
    created_at: Time

    @classmethod
    def of(cls, request: DeletionRequest, job: Job) -> Self:
        """Return the request as in a list, with its items."""
        return cls(**dict(DeletionRequestBody.of(request.summary, job)), items=list(request.items))


class DeletionRequestsQuery(BaseModel):
    """Which requests to list."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    after: After = None
    limit: Limit = 20
    base_model: BaseModelId | None = Field(default=None, description="Only requests on this base model.")
    external_id: ExternalId | None = Field(default=None, description="Only requests with your name for them.")
