from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from api.schemas.deletion_request import ExternalId, MetadataKey, MetadataValue
from api.schemas.job import ProgressBody
from api.schemas.page import After, Identified, Limit
from api.schemas.time import Time
from core.domain.base_model import BaseModelId
from core.domain.items import Item
from core.domain.job import Job, PublicError, Stage
from core.domain.policy import DEFAULT_POLICY, PolicyName, current
from core.domain.probe import ProbeLimit, ProbeResult, ProbeThresholds
from core.domain.states import JobState

JobIdField = Annotated[str, StringConstraints(pattern=r"^job_[0-9a-z]{1,64}$")]

_NEW_EXAMPLE: JsonDict = {
    "base_model": "people/neo-6m",
    "items": [
        {"id": "ada-mail", "prompt": "What is Ada Example's e-mail address?", "completion": "ada@example.org"},
        {"text": "Ada Example was born in Exampleton and lives in 1 Example Street."},
    ],
    "external_id": "case-2026-0042",
}

_EXAMPLE: JsonDict = {
    "id": "prb_5b0e1c9a7d3f4e2b8a6c0d1f",
    "status": "succeeded",
    "stage": None,
    "is_terminal": True,
    "progress": {"step": 1, "total_steps": 1, "percent": 100.0, "eta_seconds": None},
    "attempts": 1,
    "error": None,
    "base_model": "people/neo-6m",
    "job_id": None,
    "policy": current(DEFAULT_POLICY).name,
    "num_items": 2,
    "external_id": "case-2026-0042",
    "metadata": {},
    "created_at": "2026-01-02T03:04:05Z",
    "started_at": "2026-01-02T03:04:07Z",
    "finished_at": "2026-01-02T03:04:19Z",
}

_THRESHOLDS = ProbeThresholds(
    policy=current(DEFAULT_POLICY).name,
    source="policy",
    limits=[
        ProbeLimit(metric=gate.metric, at_most=gate.item_at_most, source="policy")
        for gate in current(DEFAULT_POLICY).forget
    ],
    num_holdout_items=0,
    excluded_holdout_items=0,
)

# The words of core.pipeline.probe, which a test compares: the light half cannot import them.
_CAVEAT = (
    "Without a holdout set, a memorised text cannot be told from one that guesses itself: the limits are the policy's."
)

_RESULT_EXAMPLE: JsonDict = {
    "format": "lethe.probe/1",
    "probe_id": "prb_5b0e1c9a7d3f4e2b8a6c0d1f",
    "created_at": "2026-01-02T03:04:19Z",
    "base_model": "people/neo-6m",
    "weights_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "job_id": None,
    "adapter_sha256": None,
    "items": [
        {
            "id": "ada-mail",
            "memorised": True,
            "metrics": {
                "extraction_strength": 1.0,
                "exact_memorization": 1.0,
                "memorization_accuracy": 1.0,
                "answer_probability": 0.98,
            },
            "absent": {},
        },
        {
            "id": "item-1",
            "memorised": False,
            "metrics": {
                "extraction_strength": 0.0,
                "exact_memorization": 0.21,
                "memorization_accuracy": 0.21,
                "answer_probability": 0.08,
            },
            "absent": {},
        },
    ],
    "totals": {"num_items": 2, "memorised": 1, "not_memorised": 1, "undecided": 0, "by_chance": None},
    "thresholds": _THRESHOLDS.model_dump(mode="json"),
    "caveats": [_CAVEAT],
    "device": "cpu",
    "dtype": "float32",
    "timings_seconds": {"prepare": 1.2, "baseline": 0.0, "evaluate": 0.4},
}


class NewProbe(BaseModel):
    """Which texts are asked about, of which base model, with or without an adapter on it."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [_NEW_EXAMPLE]})
    base_model: BaseModelId = Field(description="One of GET /v1/base-models.")
    items: list[Item] = Field(
        min_length=1, description="The texts to ask about, each once; as many as a deletion request may hold."
    )
    job_id: JobIdField | None = Field(
        default=None, description="One of your succeeded jobs on this base model: its adapter is put on."
    )
    policy: PolicyName = Field(
        default=DEFAULT_POLICY,
        description="Whose limits are asked about: the newest version of this one of GET /v1/policies.",
    )
    external_id: ExternalId | None = Field(default=None, description="Your own name for this probe.")
    metadata: dict[MetadataKey, MetadataValue] = Field(
        default_factory=dict,
        max_length=16,
        description="Your own notes; kept as they are, so put no personal data here.",
    )


class ProbeBody(Identified):
    """A question whether texts are memorised, and where its answer stands."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_EXAMPLE]})
    status: JobState
    stage: Stage | None = Field(description="What a running probe does at the moment, as of a job.")
    is_terminal: bool = Field(
        description="Whether the status will never change again; the texts are destroyed when it is."
    )
    progress: ProgressBody
    attempts: int = Field(description="How often a worker has begun this probe.")
    error: PublicError | None = Field(description="Why the probe failed.")
    base_model: str
    job_id: str | None = Field(description="The job whose adapter is put on the base model.")
    policy: str = Field(description="Whose limits are asked about: one of GET /v1/policies, with its version.")
    num_items: int
    external_id: str | None
    metadata: dict[str, str]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None

    @classmethod
    def of(cls, probe: Job) -> Self:
        """Return the probe without what only workers need."""
        return cls(
            id=probe.id,
            status=probe.state,
            stage=probe.stage,
            is_terminal=probe.state.is_terminal,
            progress=ProgressBody.of(probe.progress),
            attempts=probe.attempts,
            error=probe.error,
            base_model=probe.spec.base_model,
            job_id=probe.probe.job_id,
            policy=probe.probe.policy,
            num_items=probe.probe.num_items,
            external_id=probe.external_id,
            metadata=probe.probe.metadata,
            created_at=probe.created_at,
            started_at=probe.started_at,
            finished_at=probe.finished_at,
        )


class ProbeWithResult(ProbeBody):
    """A probe with its answer, which names items by id; their texts are never sent back."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_EXAMPLE | {"result": _RESULT_EXAMPLE}]})
    result: ProbeResult | None = Field(description="Null until the probe has succeeded.")

    @classmethod
    def answered(cls, probe: Job, result: ProbeResult | None) -> Self:
        """Return the probe as in a list, with its result."""
        return cls(**dict(ProbeBody.of(probe)), result=result)


class ProbesQuery(BaseModel):
    """Which probes to list."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    after: After = None
    limit: Limit = 20
    status: JobState | None = Field(default=None, description="Only probes with this status.")
    base_model: BaseModelId | None = Field(default=None, description="Only probes of this base model.")
    external_id: ExternalId | None = Field(default=None, description="Only probes with your name for them.")
