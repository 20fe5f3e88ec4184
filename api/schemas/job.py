from typing import Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from api.schemas.page import After, Identified, Limit
from api.schemas.time import Time
from core.domain.base_model import BaseModelId
from core.domain.catalog import LokuOptions, MethodOptions
from core.domain.job import Job, Progress, PublicError, Stage
from core.domain.policy import DEFAULT_POLICY, current
from core.domain.states import JobState

_EXAMPLE: JsonDict = {
    "id": "job_8a1f0c5e2b7d4f6a9c3e1d70",
    "status": "running",
    "stage": "train",
    "is_terminal": False,
    "progress": {"step": 30, "total_steps": 60, "percent": 50.0, "eta_seconds": 12.5},
    "attempts": 1,
    "error": None,
    "base_model": "people/neo-6m",
    "method": LokuOptions().model_dump(mode="json"),
    "policy": current(DEFAULT_POLICY).name,
    "has_adapter": False,
    "adapter_version": None,
    "created_at": "2026-01-02T03:04:05Z",
    "started_at": "2026-01-02T03:04:07Z",
    "finished_at": None,
}


class ProgressBody(BaseModel):
    """How far the present stage is; 100 percent once the job has succeeded."""

    model_config = ConfigDict(frozen=True)
    step: int
    total_steps: int
    percent: float = Field(ge=0, description="Share of the stage's steps that are done, 0 to 100.")
    eta_seconds: float | None = Field(description="Seconds left in this stage; null until there is an estimate.")

    @classmethod
    def of(cls, progress: Progress) -> Self:
        """Return the progress with its percentage spelled out."""
        return cls(
            step=progress.step,
            total_steps=progress.total_steps,
            percent=progress.percent,
            eta_seconds=progress.eta_seconds,
        )


class JobBody(Identified):
    """One unlearning run."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_EXAMPLE]})
    status: JobState
    stage: Stage | None = Field(
        description="What a running job does at the moment. Null before it starts and once it has succeeded; "
        "a job that failed or was cancelled keeps the stage that it was in."
    )
    is_terminal: bool = Field(description="Whether the status will never change again.")
    progress: ProgressBody
    attempts: int = Field(description="How often a worker has begun this job.")
    error: PublicError | None = Field(description="Why the job failed.")
    base_model: str
    method: MethodOptions = Field(description="The method with all its options, defaults included.")
    policy: str = Field(description="What is measured and must be shown: one of GET /v1/policies, with its version.")
    has_adapter: bool = Field(
        description="Whether there is an adapter to download. A job that succeeded without one had nothing to do: the "
        "base model did not know the texts."
    )
    adapter_version: str | None = Field(description="Version of the adapter in its lineage.")
    created_at: Time
    started_at: Time | None
    finished_at: Time | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return the job without what only workers need: lease, fence, version."""
        return cls(
            id=job.id,
            status=job.state,
            stage=job.stage,
            is_terminal=job.state.is_terminal,
            progress=ProgressBody.of(job.progress),
            attempts=job.attempts,
            error=job.error,
            base_model=job.spec.base_model,
            method=job.unlearning.method,
            policy=job.unlearning.policy,
            has_adapter=job.package is not None and job.package.adapter is not None,
            adapter_version=None,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
        )


class JobsQuery(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    after: After = None
    limit: Limit = 20
    status: JobState | None = Field(default=None, description="Only jobs with this status.")
    base_model: BaseModelId | None = Field(default=None, description="Only jobs on this base model.")
