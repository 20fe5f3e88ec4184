"""What core asks of the world. Each docstring is the contract that ``tests/contract`` runs on every backend."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from core.domain.api_key import ApiKey
from core.domain.base_model import RegisteredBaseModel
from core.domain.device import LiveWorker
from core.domain.events import Event, NewEvent
from core.domain.item_set import ItemSet, ProvisionalSet
from core.domain.job import Job, Progress, Stage
from core.domain.measurement import Measurement
from core.domain.request import DeletionRequest, ItemDisposition, RequestSummary
from core.domain.states import JobState

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A slice of a list, newest first."""

    model_config = ConfigDict(frozen=True)
    data: tuple[T, ...]
    has_more: bool


class Clock(Protocol):
    """The time, so that tests decide it."""

    def __call__(self) -> datetime:
        """Return now as an aware UTC datetime."""
        ...


class JobRepository(Protocol):
    """Deletion requests, jobs (of which some are probes) and their events. Every method is one transaction."""

    def add(self, request: DeletionRequest, job: Job, events: Sequence[NewEvent]) -> None:
        """Store a new request with its new job and first events, or nothing. AlreadyExistsError on a known id."""
        ...

    def add_probe(self, probe: Job, events: Sequence[NewEvent]) -> None:
        """Store a new job that serves no request, with its first events. AlreadyExistsError on a known id."""
        ...

    def job(self, job_id: str, *, tenant: str | None = None) -> Job:
        """Return the job, of either kind. With a tenant, NotFoundError also when it belongs to another one."""
        ...

    def jobs_by_id(self, job_ids: Collection[str]) -> dict[str, Job]:
        """Return those of the jobs that exist, whoever owns them, in one query."""
        ...

    def request(self, request_id: str, *, tenant: str) -> DeletionRequest:
        """Return the request, or NotFoundError (also for another tenant's)."""
        ...

    def requests_of(self, job_id: str) -> tuple[DeletionRequest, ...]:
        """Return every request that the job serves."""
        ...

    def list_jobs(
        self,
        *,
        tenant: str,
        after: str | None,
        limit: int,
        state: JobState | None = None,
        base_model: str | None = None,
    ) -> Page[Job]:
        """Return up to ``limit`` unlearning jobs, newest first, that follow the job ``after``.

        Raises:
            NotFoundError: ``after`` is no unlearning job of this tenant.
        """
        ...

    def list_probes(
        self,
        *,
        tenant: str,
        after: str | None,
        limit: int,
        state: JobState | None = None,
        base_model: str | None = None,
        external_id: str | None = None,
    ) -> Page[Job]:
        """As :meth:`list_jobs`, for probes."""
        ...

    def list_requests(
        self,
        *,
        tenant: str,
        after: str | None,
        limit: int,
        base_model: str | None = None,
        external_id: str | None = None,
    ) -> Page[RequestSummary]:
        """As :meth:`list_jobs`, for requests, whose items are only counted."""
        ...

    def save(
        self,
        before: Job,
        after: Job,
        events: Sequence[NewEvent],
        dispositions: Sequence[ItemDisposition] | None = None,
    ) -> None:
        """Swap ``before`` for ``after`` and append the events, in one transaction.

        Only the columns that differ between the two are written, so a transition does not undo a progress report or
        a lease renewal that came in between. ``dispositions`` are written to the items (matched by item id) of the
        requests that the job serves; None leaves them.

        Raises:
            StaleJobError: the stored state or version is not that of ``before``; nothing was written.
        """
        ...

    def renew_lease(self, job_id: str, *, fence: int, expires_at: datetime) -> JobState:
        """Move the lease's end and return the state (running or cancelling).

        Raises:
            LeaseLostError: the fence is not the present lease's, or the job is not running or cancelling any more.
        """
        ...

    def record(
        self, job_id: str, *, fence: int, stage: Stage, progress: Progress, events: Sequence[NewEvent]
    ) -> JobState:
        """Write stage and progress of a run, append events, return the state. LeaseLostError as in renew_lease.

        Neither this nor renew_lease counts as a transition: ``version`` stays.
        """
        ...

    def mark_published(self, job_id: str, *, at: datetime) -> None:
        """Note that the queue took the job's message, if the job is still queued. ``version`` stays."""
        ...

    def events(self, job_id: str, *, after_seq: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        """Return events with ``seq`` greater than ``after_seq``, in order."""
        ...

    def unpublished(self, *, published_before: datetime, limit: int = 1000) -> tuple[Job, ...]:
        """Return queued jobs, oldest first, never published or last published before this time."""
        ...

    def expired(self, *, now: datetime, limit: int = 1000) -> tuple[Job, ...]:
        """Return running and cancelling jobs whose lease has ended."""
        ...

    def count_by_state(self) -> dict[JobState, int]:
        """Return how many jobs are in each state, over all tenants; every state is present."""
        ...

    def unfinished(self, *, limit: int = 1000) -> tuple[Job, ...]:
        """Return jobs of either kind and of all tenants that have not ended, oldest first."""
        ...


class BaseModelRepository(Protocol):
    """The base models that requests may name."""

    def add(self, model: RegisteredBaseModel) -> None:
        """Store it. AlreadyExistsError when the id is taken."""
        ...

    def get(self, model_id: str) -> RegisteredBaseModel:
        """Return it, or NotFoundError."""
        ...

    def list(self, *, after: str | None = None, limit: int = 100) -> Page[RegisteredBaseModel]:
        """Return models in order of id, those after the id ``after``."""
        ...


class MeasurementRepository(Protocol):
    """What finished jobs took, whoever asked for them."""

    def add(self, measurement: Measurement) -> None:
        """Store it."""
        ...

    def newest(
        self,
        *,
        device: str | None = None,
        weights_sha256: str | None = None,
        method: str | None = None,
        policy: str | None = None,
        limit: int = 100,
    ) -> tuple[Measurement, ...]:
        """Return the newest ones, newest first: on devices of this name, on this base model, by method and policy."""
        ...


class WorkerRepository(Protocol):
    """The workers that have been heard of. One that says nothing for a day is forgotten."""

    def seen(self, worker: LiveWorker) -> None:
        """Note when it was heard of, and its device; None leaves what is known of that."""
        ...

    def live(self, *, since: datetime) -> tuple[LiveWorker, ...]:
        """Return those heard of at this time or later, in order of owner."""
        ...


class ApiKeyRepository(Protocol):
    """Bearer keys by their public id."""

    def add(self, key: ApiKey) -> None:
        """Store it. AlreadyExistsError when the id is taken."""
        ...

    def get(self, key_id: str) -> ApiKey:
        """Return it, or NotFoundError."""
        ...

    def list(self, *, after: str | None = None, limit: int = 100) -> Page[ApiKey]:
        """Return keys of all tenants in order of id, revoked ones too, those after the id ``after``."""
        ...

    def revoke(self, key_id: str, *, at: datetime) -> ApiKey:
        """Note when it was revoked and return it, or NotFoundError. A second time changes nothing: the first counts."""
        ...


class ItemStore(Protocol):
    """Forget, retain and holdout texts: the only port through which they are kept.

    Apart from everything else, so that they can be encrypted and destroyed apart.
    """

    def put(self, item_set: ItemSet) -> None:
        """Store the set, provisionally until :meth:`keep`. AlreadyExistsError when the id is taken."""
        ...

    def keep(self, set_id: str) -> None:
        """Note that the set's owner is stored. May be repeated; nothing happens when the set is gone."""
        ...

    def provisional(self, *, stored_before: datetime, limit: int = 1000) -> tuple[ProvisionalSet, ...]:
        """Return sets that were created before this time and never kept, oldest first."""
        ...

    def get(self, set_id: str) -> ItemSet:
        """Return the set, or NotFoundError (never stored, or destroyed)."""
        ...

    def destroy(self, set_id: str) -> None:
        """Remove the set for good. Nothing happens when it is gone already."""
        ...


class Cache(Protocol):
    """What a run asks of an :class:`ArtifactStore`: numbers that belong to a base model and outlive the job."""

    def put(self, key: str, payload: bytes) -> None:
        """See :class:`ArtifactStore`."""
        ...

    def get(self, key: str) -> bytes:
        """See :class:`ArtifactStore`."""
        ...


class TextCache(Protocol):
    """What a run asks of an :class:`ItemStore`: texts that a base model wrote, for every job on it."""

    def put(self, item_set: ItemSet) -> None:
        """See :class:`ItemStore`."""
        ...

    def get(self, set_id: str) -> ItemSet:
        """See :class:`ItemStore`."""
        ...


class ArtifactStore(Protocol):
    """Bytes under a key. Keys are slash-separated names of letters, digits, ``.``, ``_`` and ``-``; else ValueError."""

    def put(self, key: str, payload: bytes) -> None:
        """Store the bytes, whole or not at all; what was there before is replaced."""
        ...

    def get(self, key: str) -> bytes:
        """Return the bytes, or ArtifactMissingError."""
        ...

    def stream(self, key: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Return the bytes from ``start`` up to but excluding ``end`` in pieces; this call raises ArtifactMissingError.

        A range that begins after the last byte is empty.
        """
        ...

    def exists(self, key: str) -> bool:
        """Whether something is stored under the key."""
        ...

    def keys(self, folder: str) -> Iterator[str]:
        """Return every key that begins with the names of ``folder`` and a slash, in any order."""
        ...

    def delete(self, key: str) -> None:
        """Remove the key. Nothing happens when it is gone already."""
        ...

    def check(self) -> None:
        """Return if the store answers; raise whatever it answers with otherwise. For readiness."""
        ...


class JobQueue(Protocol):
    """The transport. It carries job ids and may lose or repeat them; the database is the truth."""

    def publish(self, job_id: str) -> None:
        """Hand the id to some worker, at least once. QueueUnavailableError when the broker cannot take it now."""
        ...

    def depth(self) -> int:
        """Return how many messages wait for a worker. QueueUnavailableError when the broker does not answer."""
        ...


class JobMonitor(Protocol):
    """What a run tells the outside while it goes on. One monitor belongs to one attempt.

    Every method raises LeaseLostError once the attempt no longer owns the job; the run must then end at once.
    """

    def enter(self, stage: Stage, *, total_steps: int = 0) -> None:
        """Begin a stage."""
        ...

    def advance(self, step: int) -> None:
        """Report the steps done in this stage. Cheap to call at every step: writing is rate-limited."""
        ...

    def metrics(self, message: str, data: dict[str, float]) -> None:
        """Tell the history about measured numbers."""
        ...

    def save_checkpoint(self, payload: bytes) -> None:
        """Replace the job's checkpoint; it survives this process and this machine.

        Cheap to call often: one that comes soon after another may be skipped, but never the first of an attempt.
        """
        ...

    def load_checkpoint(self) -> bytes | None:
        """Return the last checkpoint of any attempt of this job, or None."""
        ...
