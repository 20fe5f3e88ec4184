from enum import StrEnum
from math import isfinite
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

Level = Literal["info", "warning", "error"]
Scalar = str | int | float | bool | None


def _without_nan(data: dict[str, Scalar]) -> dict[str, Scalar]:
    """Replace what JSON cannot say by None: a diverged loss must not cost the event that tells of it."""
    return {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in data.items()}


class EventType(StrEnum):
    """The closed list of what a client can read in a job's history."""

    QUEUED = "job.queued"
    STARTED = "job.started"
    STAGE = "job.stage"
    METRICS = "job.metrics"
    CHECKPOINT = "job.checkpoint"
    RESUMED = "job.resumed"
    REQUEUED = "job.requeued"
    CANCEL_REQUESTED = "job.cancel_requested"
    CANCELLED = "job.cancelled"
    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"


class NewEvent(BaseModel):
    """A fact about a job that is about to be written with it, in one transaction."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    type: EventType
    message: str
    level: Level = "info"
    data: Annotated[dict[str, Scalar], AfterValidator(_without_nan)] = {}
    created_at: AwareDatetime


class Event(NewEvent):
    """A stored event. ``seq`` starts at 1 and grows by one within its job, without gaps."""

    job_id: str
    seq: int
