from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from threading import RLock
from typing import TypeVar

from core.domain.errors import AlreadyExistsError, LeaseLostError, NotFoundError, StaleJobError
from core.domain.events import Event, NewEvent
from core.domain.job import Job, Progress, Stage
from core.domain.request import DeletionRequest, ItemDisposition, RequestSummary
from core.domain.spec import JobKind
from core.domain.states import JobState
from core.ports import Page

ACTIVE = {JobState.RUNNING, JobState.CANCELLING}

Listed = TypeVar("Listed", Job, DeletionRequest)


class FakeJobRepository:
    """Jobs, requests and events in dicts. One lock makes every method a transaction."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._jobs: dict[str, Job] = {}
        self._requests: dict[str, DeletionRequest] = {}
        self._events: dict[str, list[Event]] = {}

    def add(self, request: DeletionRequest, job: Job, events: Sequence[NewEvent]) -> None:
        with self._lock:
            if job.id in self._jobs or request.id in self._requests:
                raise AlreadyExistsError(f"job {job.id} or request {request.id} exists")
            self._jobs[job.id] = job
            self._requests[request.id] = request
            self._append(job.id, events)

    def add_probe(self, probe: Job, events: Sequence[NewEvent]) -> None:
        with self._lock:
            if probe.id in self._jobs:
                raise AlreadyExistsError(f"probe {probe.id} exists")
            self._jobs[probe.id] = probe
            self._append(probe.id, events)

    def job(self, job_id: str, *, tenant: str | None = None) -> Job:
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None or tenant not in {None, job.tenant}:
            raise NotFoundError(f"no job {job_id}")
        return job

    def jobs_by_id(self, job_ids: Collection[str]) -> dict[str, Job]:
        with self._lock:
            return {job_id: self._jobs[job_id] for job_id in job_ids if job_id in self._jobs}

    def request(self, request_id: str, *, tenant: str) -> DeletionRequest:
        with self._lock:
            request = self._requests.get(request_id)
        if request is None or request.tenant != tenant:
            raise NotFoundError(f"no deletion request {request_id}")
        return request

    def requests_of(self, job_id: str) -> tuple[DeletionRequest, ...]:
        with self._lock:
            return tuple(request for request in self._requests.values() if request.job_id == job_id)

    def list_jobs(
        self,
        *,
        tenant: str,
        after: str | None,
        limit: int,
        state: JobState | None = None,
        base_model: str | None = None,
    ) -> Page[Job]:
        return self._listed("unlearning", tenant, after, limit, {"state": state, "base_model": base_model})

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
        wanted = {"state": state, "base_model": base_model, "external_id": external_id}
        return self._listed("probe", tenant, after, limit, wanted)

    def list_requests(
        self,
        *,
        tenant: str,
        after: str | None,
        limit: int,
        base_model: str | None = None,
        external_id: str | None = None,
    ) -> Page[RequestSummary]:
        cursor = None if after is None else self.request(after, tenant=tenant)
        with self._lock:
            matching = [
                request
                for request in self._requests.values()
                if request.tenant == tenant
                and base_model in {None, request.base_model}
                and external_id in {None, request.external_id}
            ]
        page = _page(matching, cursor, limit)
        return Page(data=tuple(request.summary for request in page.data), has_more=page.has_more)

    def save(
        self,
        before: Job,
        after: Job,
        events: Sequence[NewEvent],
        dispositions: Sequence[ItemDisposition] | None = None,
    ) -> None:
        with self._lock:
            stored = self._jobs.get(before.id)
            if stored is None or (stored.state, stored.version) != (before.state, before.version):
                raise StaleJobError(f"job {before.id} is not {before.state} in version {before.version} any more")
            changes = {
                name: getattr(after, name) for name in Job.model_fields if getattr(after, name) != getattr(before, name)
            }
            self._jobs[before.id] = stored.model_copy(update=changes)
            self._append(before.id, events)
            self._dispose(before.id, dispositions or ())

    def renew_lease(self, job_id: str, *, fence: int, expires_at: datetime) -> JobState:
        with self._lock:
            job = self._leased(job_id, fence)
            lease = job.lease.model_copy(update={"expires_at": expires_at}) if job.lease else None
            self._jobs[job_id] = job.model_copy(update={"lease": lease})
            return job.state

    def record(
        self, job_id: str, *, fence: int, stage: Stage, progress: Progress, events: Sequence[NewEvent]
    ) -> JobState:
        with self._lock:
            job = self._leased(job_id, fence)
            self._jobs[job_id] = job.model_copy(update={"stage": stage, "progress": progress})
            self._append(job_id, events)
            return job.state

    def mark_published(self, job_id: str, *, at: datetime) -> None:
        with self._lock:
            job = self._jobs.get(job_id)
            if job is not None and job.state is JobState.QUEUED:
                self._jobs[job_id] = job.model_copy(update={"published_at": at})

    def events(self, job_id: str, *, after_seq: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        with self._lock:
            return tuple(event for event in self._events.get(job_id, []) if event.seq > after_seq)[:limit]

    def unpublished(self, *, published_before: datetime, limit: int = 1000) -> tuple[Job, ...]:
        waiting = self._where(
            lambda job: (
                job.state is JobState.QUEUED and (job.published_at is None or job.published_at < published_before)
            )
        )
        return tuple(sorted(waiting, key=_age)[:limit])

    def expired(self, *, now: datetime, limit: int = 1000) -> tuple[Job, ...]:
        ended = self._where(lambda job: job.state in ACTIVE and job.lease is not None and job.lease.expires_at <= now)
        return tuple(sorted(ended, key=lambda job: (job.lease.expires_at if job.lease else now, job.id))[:limit])

    def count_by_state(self) -> dict[JobState, int]:
        with self._lock:
            states = [job.state for job in self._jobs.values()]
        return {state: states.count(state) for state in JobState}

    def unfinished(self, *, limit: int = 1000) -> tuple[Job, ...]:
        under_way = self._where(lambda job: not job.state.is_terminal)
        return tuple(sorted(under_way, key=_age)[:limit])

    def _listed(
        self, kind: JobKind, tenant: str, after: str | None, limit: int, wanted: dict[str, str | None]
    ) -> Page[Job]:
        cursor = None if after is None else self.job(after, tenant=tenant)
        if cursor is not None and cursor.spec.kind != kind:
            raise NotFoundError(f"{after} is not in this list")

        def matches(job: Job) -> bool:
            found = {"state": job.state, "base_model": job.spec.base_model, "external_id": job.external_id}
            asked = {name: value for name, value in wanted.items() if value is not None}
            return (job.tenant, job.spec.kind) == (tenant, kind) and asked.items() <= found.items()

        return _page(self._where(matches), cursor, limit)

    def _where(self, matches: Callable[[Job], bool]) -> list[Job]:
        with self._lock:
            return [job for job in self._jobs.values() if matches(job)]

    def _leased(self, job_id: str, fence: int) -> Job:
        job = self._jobs.get(job_id)
        if job is None or job.fence != fence or job.state not in ACTIVE:
            raise LeaseLostError(f"attempt {fence} does not own job {job_id}")
        return job

    def _append(self, job_id: str, events: Iterable[NewEvent]) -> None:
        history = self._events.setdefault(job_id, [])
        for event in events:
            history.append(Event(job_id=job_id, seq=len(history) + 1, **dict(event)))

    def _dispose(self, job_id: str, dispositions: Sequence[ItemDisposition]) -> None:
        given = {item.item_id: item for item in dispositions}
        for request in self.requests_of(job_id):
            items = tuple(given.get(item.item_id, item) for item in request.items)
            self._requests[request.id] = request.model_copy(update={"items": items})


def _age(row: Job | DeletionRequest) -> tuple[datetime, str]:
    return row.created_at, row.id


def _page(matching: list[Listed], cursor: Listed | None, limit: int) -> Page[Listed]:
    following = sorted((row for row in matching if cursor is None or _age(row) < _age(cursor)), key=_age, reverse=True)
    return Page(data=tuple(following[:limit]), has_more=len(following) > limit)
