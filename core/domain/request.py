from collections import Counter
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from core.domain.base_model import BaseModelId
from core.domain.states import JobState


class Disposition(StrEnum):
    """What became of one item."""

    PENDING = "pending"
    FORGOTTEN = "forgotten"
    NO_ACTION_NEEDED = "no_action_needed"  # the base model knew it no better than text that it never saw
    NOT_FORGOTTEN = "not_forgotten"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ItemDisposition(BaseModel):
    """An item by its id, never by its text."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    item_id: str
    disposition: Disposition = Disposition.PENDING


class RequestSummary(BaseModel):
    """A deletion request with its items counted. A list of requests needs no more, and items come by the thousand."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    tenant: str
    job_id: str
    base_model: BaseModelId
    external_id: str | None = None
    metadata: dict[str, str] = {}
    dispositions: dict[Disposition, int]  # every disposition is present
    created_at: AwareDatetime

    @property
    def num_items(self) -> int:
        """How many items the request names."""
        return sum(self.dispositions.values())


class DeletionRequest(BaseModel):
    """The legal object: what one client asked to be forgotten, and by which job it is served."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    tenant: str
    job_id: str
    base_model: BaseModelId
    external_id: str | None = None
    metadata: dict[str, str] = {}
    items: tuple[ItemDisposition, ...]
    created_at: AwareDatetime

    @property
    def summary(self) -> RequestSummary:
        """The request with its items counted."""
        counts = Counter(item.disposition for item in self.items)
        fields = self.model_dump(exclude={"items"})
        return RequestSummary(**fields, dispositions={disposition: counts[disposition] for disposition in Disposition})


class RequestStatus(StrEnum):
    """Where a deletion request stands, derived from its job and its items."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    PARTLY_COMPLETED = "partly_completed"
    NO_ACTION_NEEDED = "no_action_needed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_BY_STATE = {
    JobState.QUEUED: RequestStatus.QUEUED,
    JobState.RUNNING: RequestStatus.RUNNING,
    JobState.CANCELLING: RequestStatus.RUNNING,
    JobState.FAILED: RequestStatus.FAILED,
    JobState.CANCELLED: RequestStatus.CANCELLED,
}


def request_status(request: RequestSummary, state: JobState) -> RequestStatus:
    """Return the status. A run that ended well completes a request only as far as its items were forgotten."""
    if state is not JobState.SUCCEEDED:
        return _BY_STATE[state]
    unneeded = request.dispositions[Disposition.NO_ACTION_NEEDED]
    if unneeded == request.num_items:
        return RequestStatus.NO_ACTION_NEEDED
    done = request.dispositions[Disposition.FORGOTTEN] + unneeded
    if done == request.num_items:
        return RequestStatus.COMPLETED
    return RequestStatus.PARTLY_COMPLETED if done else RequestStatus.FAILED


def disposition_at_end(state: JobState) -> Disposition:
    """Return what a job that ended without a measurement leaves each of its items with."""
    return Disposition.CANCELLED if state is JobState.CANCELLED else Disposition.FAILED
