from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection, Engine, Row, Select, Table, bindparam, func, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from core.backends.sql.engine import reading
from core.backends.sql.job_row import event_rows, job_of, job_row
from core.backends.sql.request_row import item_rows, request_of, request_row, summary_of
from core.backends.sql.tables import deletion_request_items, deletion_requests, job_events, jobs
from core.domain.errors import AlreadyExistsError, LeaseLostError, NotFoundError, StaleJobError
from core.domain.events import Event, NewEvent
from core.domain.job import Job, Progress, Stage
from core.domain.request import DeletionRequest, ItemDisposition, RequestSummary
from core.domain.spec import JobKind
from core.domain.states import JobState
from core.ports import Page

_ACTIVE = (JobState.RUNNING.value, JobState.CANCELLING.value)

# What every submission writes, made once: see _by_id.
_NEW_JOB, _NEW_EVENTS = jobs.insert(), job_events.insert()
_NEW_REQUEST, _NEW_ITEMS = deletion_requests.insert(), deletion_request_items.insert()
_PUBLISHED = (
    update(jobs)
    .where(jobs.c.id == bindparam("queued_id"), jobs.c.state == JobState.QUEUED)
    .values(published_at=bindparam("at"))
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SqlJobRepository:
    """See :class:`core.ports.JobRepository`. Holds no state but the engine, so threads may share it."""

    engine: Engine

    def add(self, request: DeletionRequest, job: Job, events: Sequence[NewEvent]) -> None:
        """See the port."""
        try:
            with self.engine.begin() as connection:
                _insert_job(connection, job, events)
                _insert_request(connection, request)
        except IntegrityError as taken:
            raise AlreadyExistsError(f"job {job.id} or request {request.id} exists") from taken

    def add_probe(self, probe: Job, events: Sequence[NewEvent]) -> None:
        """See the port."""
        try:
            with self.engine.begin() as connection:
                _insert_job(connection, probe, events)
        except IntegrityError as taken:
            raise AlreadyExistsError(f"probe {probe.id} exists") from taken

    def job(self, job_id: str, *, tenant: str | None = None) -> Job:
        """See the port."""
        with reading(self.engine) as connection:
            return job_of(_require(connection, jobs, job_id, tenant))

    def jobs_by_id(self, job_ids: Collection[str]) -> dict[str, Job]:
        """See the port."""
        with reading(self.engine) as connection:
            return {row.id: job_of(row) for row in connection.execute(select(jobs).where(jobs.c.id.in_(job_ids)))}

    def request(self, request_id: str, *, tenant: str) -> DeletionRequest:
        """See the port."""
        with reading(self.engine) as connection:
            return _requests(connection, [_require(connection, deletion_requests, request_id, tenant)])[0]

    def requests_of(self, job_id: str) -> tuple[DeletionRequest, ...]:
        """See the port."""
        of_job = select(deletion_requests).where(deletion_requests.c.job_id == job_id)
        with reading(self.engine) as connection:
            rows = connection.execute(of_job.order_by(deletion_requests.c.created_at, deletion_requests.c.id)).all()
            return _requests(connection, rows)

    def list_jobs(
        self,
        *,
        tenant: str,
        after: str | None,
        limit: int,
        state: JobState | None = None,
        base_model: str | None = None,
    ) -> Page[Job]:
        """See the port."""
        filters = {"state": state, "base_model": base_model}
        return self._listed("unlearning", filters, tenant=tenant, after=after, limit=limit)

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
        """See the port."""
        filters = {"state": state, "base_model": base_model, "external_id": external_id}
        return self._listed("probe", filters, tenant=tenant, after=after, limit=limit)

    def list_requests(
        self,
        *,
        tenant: str,
        after: str | None,
        limit: int,
        base_model: str | None = None,
        external_id: str | None = None,
    ) -> Page[RequestSummary]:
        """See the port."""
        filters = {"base_model": base_model, "external_id": external_id}
        with reading(self.engine) as connection:
            rows = _following(connection, deletion_requests, filters, tenant=tenant, after=after, limit=limit + 1)
            return Page(data=_summaries(connection, rows[:limit]), has_more=len(rows) > limit)

    def save(
        self,
        before: Job,
        after: Job,
        events: Sequence[NewEvent],
        dispositions: Sequence[ItemDisposition] | None = None,
    ) -> None:
        """See the port."""
        unchanged = job_row(before)
        changes = {name: value for name, value in job_row(after).items() if value != unchanged[name]}
        swap = (
            update(jobs)
            .where(jobs.c.id == before.id, jobs.c.state == before.state, jobs.c.version == before.version)
            .values(**changes, last_seq=jobs.c.last_seq + len(events))
            .returning(jobs.c.last_seq)
        )
        with self.engine.begin() as connection:
            last_seq = connection.execute(swap).scalar_one_or_none()
            if last_seq is None:
                raise StaleJobError(f"job {before.id} is not {before.state} in version {before.version} any more")
            _append(connection, before.id, events, last_seq=last_seq)
            _dispose(connection, before.id, dispositions or ())

    def renew_lease(self, job_id: str, *, fence: int, expires_at: datetime) -> JobState:
        """See the port."""
        with self.engine.begin() as connection:
            return JobState(_update_leased(connection, job_id, fence, {"lease_expires_at": expires_at}).state)

    def record(
        self, job_id: str, *, fence: int, stage: Stage, progress: Progress, events: Sequence[NewEvent]
    ) -> JobState:
        """See the port."""
        changes = {
            "stage": stage.value,
            "progress": progress.model_dump(mode="json"),
            "last_seq": jobs.c.last_seq + len(events),
        }
        with self.engine.begin() as connection:
            row = _update_leased(connection, job_id, fence, changes)
            _append(connection, job_id, events, last_seq=row.last_seq)
        return JobState(row.state)

    def mark_published(self, job_id: str, *, at: datetime) -> None:
        """See the port."""
        with self.engine.begin() as connection:
            connection.execute(_PUBLISHED, {"queued_id": job_id, "at": at})

    def events(self, job_id: str, *, after_seq: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        """See the port."""
        following = select(job_events).where(job_events.c.job_id == job_id, job_events.c.seq > after_seq)
        with reading(self.engine) as connection:
            rows = connection.execute(following.order_by(job_events.c.seq).limit(limit)).mappings().all()
        return tuple(Event.model_validate(dict(row)) for row in rows)

    def unpublished(self, *, published_before: datetime, limit: int = 1000) -> tuple[Job, ...]:
        """See the port."""
        unheard = or_(jobs.c.published_at.is_(None), jobs.c.published_at < published_before)
        waiting = select(jobs).where(jobs.c.state == JobState.QUEUED, unheard)
        return self._jobs(waiting.order_by(jobs.c.created_at, jobs.c.id).limit(limit))

    def expired(self, *, now: datetime, limit: int = 1000) -> tuple[Job, ...]:
        """See the port."""
        ended = select(jobs).where(jobs.c.state.in_(_ACTIVE), jobs.c.lease_expires_at <= now)
        return self._jobs(ended.order_by(jobs.c.lease_expires_at, jobs.c.id).limit(limit))

    def count_by_state(self) -> dict[JobState, int]:
        """See the port."""
        counted = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        with reading(self.engine) as connection:
            counts = {row[0]: row[1] for row in connection.execute(counted)}
        return {state: counts.get(state, 0) for state in JobState}

    def unfinished(self, *, limit: int = 1000) -> tuple[Job, ...]:
        """See the port."""
        under_way = select(jobs).where(jobs.c.state.in_((JobState.QUEUED.value, *_ACTIVE)))
        return self._jobs(under_way.order_by(jobs.c.created_at, jobs.c.id).limit(limit))

    def _listed(
        self, kind: JobKind, filters: dict[str, str | None], *, tenant: str, after: str | None, limit: int
    ) -> Page[Job]:
        with reading(self.engine) as connection:
            if after is not None and _require(connection, jobs, after, tenant).kind != kind:
                raise NotFoundError(f"{after} is not in this list")
            rows = _following(connection, jobs, {"kind": kind, **filters}, tenant=tenant, after=after, limit=limit + 1)
        return Page(data=tuple(job_of(row) for row in rows[:limit]), has_more=len(rows) > limit)

    def _jobs(self, query: Select[Any]) -> tuple[Job, ...]:
        """Return the jobs that can be read: one row of another release must not keep the others from recovery."""
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return tuple(job for row in rows if (job := _readable(row)) is not None)


def _readable(row: Row[Any]) -> Job | None:
    try:
        return job_of(row)
    except ValidationError:
        # The id alone: what pydantic says quotes the values that it refused.
        log.error("the row of a job cannot be read, and nobody recovers this job", job_id=row.id)  # noqa: TRY400
        return None


def _require(connection: Connection, table: Table, row_id: str, tenant: str | None) -> Row[Any]:
    named = {"row_id": row_id} if tenant is None else {"row_id": row_id, "of_tenant": tenant}
    row = connection.execute(_by_id(table, has_tenant=tenant is not None), named).one_or_none()
    if row is None:
        raise NotFoundError(f"{row_id} does not exist")
    return row


@cache
def _by_id(table: Table, *, has_tenant: bool) -> Select[Any]:
    """Return the query, made once: to make it and to find its SQL takes longer than SQLite takes to answer it."""
    query = select(table).where(table.c.id == bindparam("row_id"))
    return query.where(table.c.tenant == bindparam("of_tenant")) if has_tenant else query


def _following(
    connection: Connection,
    table: Table,
    filters: dict[str, str | None],
    *,
    tenant: str,
    after: str | None,
    limit: int,
) -> Sequence[Row[Any]]:
    """Return the rows that follow the cursor, newest first; the id decides between rows of the same time."""
    query = select(table).where(table.c.tenant == tenant)
    for name, value in filters.items():
        query = query if value is None else query.where(table.c[name] == value)
    if after is not None:
        cursor = _require(connection, table, after, tenant)
        place = tuple_(table.c.created_at, table.c.id)
        query = query.where(place < (cursor.created_at, cursor.id))
    return connection.execute(query.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit)).all()


def _update_leased(connection: Connection, job_id: str, fence: int, changes: dict[str, Any]) -> Row[Any]:
    owned = update(jobs).where(jobs.c.id == job_id, jobs.c.fence == fence, jobs.c.state.in_(_ACTIVE))
    row = connection.execute(owned.values(**changes).returning(jobs.c.state, jobs.c.last_seq)).one_or_none()
    if row is None:
        raise LeaseLostError(f"attempt {fence} does not own job {job_id}")
    return row


def _append(connection: Connection, job_id: str, events: Sequence[NewEvent], *, last_seq: int) -> None:
    if events:
        connection.execute(_NEW_EVENTS, event_rows(job_id, events, last_seq=last_seq))


def _insert_job(connection: Connection, job: Job, events: Sequence[NewEvent]) -> None:
    connection.execute(_NEW_JOB, {**job_row(job), "last_seq": len(events)})
    _append(connection, job.id, events, last_seq=len(events))


def _insert_request(connection: Connection, request: DeletionRequest) -> None:
    connection.execute(_NEW_REQUEST, request_row(request))
    if request.items:
        connection.execute(_NEW_ITEMS, item_rows(request))


def _requests(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[DeletionRequest, ...]:
    """Return the requests that the rows hold, the items of all of them fetched at once."""
    items: dict[str, list[Row[Any]]] = {row.id: [] for row in rows}
    of_requests = select(deletion_request_items).where(deletion_request_items.c.request_id.in_(items))
    for item in connection.execute(of_requests.order_by(deletion_request_items.c.position)):
        items[item.request_id].append(item)
    return tuple(request_of(row, items[row.id]) for row in rows)


def _summaries(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[RequestSummary, ...]:
    """Return the requests that the rows hold, the items of all of them counted at once."""
    items = deletion_request_items.c
    counts: dict[str, dict[str, int]] = {row.id: {} for row in rows}
    counted = select(items.request_id, items.disposition, func.count()).where(items.request_id.in_(counts))
    for request_id, disposition, number in connection.execute(counted.group_by(items.request_id, items.disposition)):
        counts[request_id][disposition] = number
    return tuple(summary_of(row, counts[row.id]) for row in rows)


def _dispose(connection: Connection, job_id: str, dispositions: Sequence[ItemDisposition]) -> None:
    if not dispositions:
        return
    requests = select(deletion_requests.c.id).where(deletion_requests.c.job_id == job_id)
    items = deletion_request_items.c
    of_item = update(deletion_request_items).where(
        items.request_id.in_(requests), items.item_id == bindparam("disposed_id")
    )
    connection.execute(
        of_item.values(disposition=bindparam("disposed_as")),
        [{"disposed_id": item.item_id, "disposed_as": item.disposition.value} for item in dispositions],
    )
