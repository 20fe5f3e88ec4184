from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from core.domain.base_model import BaseModelId
from core.domain.states import JobState


class Disposition(StrEnum):
    """What became of one item."""

    PENDING = "pending"
    FORGOTTEN = "forgotten"
    NOT_FORGOTTEN = "not_forgotten"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ItemDisposition(BaseModel):
    """An item by its id, never by its text."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    item_id: str
    disposition: Disposition = Disposition.PENDING


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


class RequestStatus(StrEnum):
    """Where a deletion request stands, derived from its job and its items."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    PARTLY_COMPLETED = "partly_completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_BY_STATE = {
    JobState.QUEUED: RequestStatus.QUEUED,
    JobState.RUNNING: RequestStatus.RUNNING,
    JobState.CANCELLING: RequestStatus.RUNNING,
    JobState.FAILED: RequestStatus.FAILED,
    JobState.CANCELLED: RequestStatus.CANCELLED,
}


def request_status(request: DeletionRequest, state: JobState) -> RequestStatus:
    """Return the status. A run that ended well completes a request only as far as its items were forgotten."""
    if state is not JobState.SUCCEEDED:
        return _BY_STATE[state]
    forgotten = sum(item.disposition is Disposition.FORGOTTEN for item in request.items)
    if forgotten == len(request.items):
        return RequestStatus.COMPLETED
    return RequestStatus.PARTLY_COMPLETED if forgotten else RequestStatus.FAILED


def disposition_at_end(state: JobState) -> Disposition:
    """Return what a job that ended without a measurement leaves each of its items with."""
    return Disposition.CANCELLED if state is JobState.CANCELLED else Disposition.FAILED
