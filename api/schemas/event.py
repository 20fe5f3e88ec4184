from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from api.schemas.page import Identified
from api.schemas.time import Time
from core.domain.events import Event, EventType, Level

_EXAMPLE: JsonDict = {
    "id": "job_8a1f0c5e2b7d4f6a9c3e1d70.3",
    "seq": 3,
    "type": "job.metrics",
    "level": "info",
    "message": "training",
    "data": {"forget_loss": 0.42},
    "created_at": "2026-01-02T03:04:09Z",
}


class EventBody(Identified):
    """A fact about a job or a probe."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_EXAMPLE]})
    seq: int = Field(description="Starts at 1 and grows by one within its job or probe, without gaps.")
    type: EventType
    level: Level
    message: str
    data: dict[str, str | int | float | bool | None]
    created_at: Time

    @classmethod
    def of(cls, event: Event) -> Self:
        """Return the event under an id that is unique over all jobs."""
        return cls(
            id=f"{event.job_id}.{event.seq}",
            seq=event.seq,
            type=event.type,
            level=event.level,
            message=event.message,
            data=event.data,
            created_at=event.created_at,
        )


class EventsQuery(BaseModel):
    """Which part of the history to read."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    # 2**31 - 1: the column's range on every database; beyond it PostgreSQL would raise.
    after_seq: Annotated[int, Field(ge=0, le=2**31 - 1, description="Only events after this one.")] = 0
    limit: Annotated[int, Field(ge=1, le=1000, description="How many at most.")] = 100
