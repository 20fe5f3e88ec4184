"""Rows as a deployment has them that has served for a while: jobs that have lived, and many copies of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, Integer, Table, func, insert, literal, select
from starlette.testclient import TestClient

from api.services import Services
from core.backends.sql import tables
from core.backends.sql.tables import UtcDateTime
from core.domain.device import Device
from core.domain.events import EventType, NewEvent
from core.domain.job import Job, Package, Progress, PublicError, Stage, StoredFile
from core.domain.measurement import Measurement
from core.domain.request import Disposition, ItemDisposition
from core.domain.states import JobState
from core.jobs.attempt import Attempts
from core.jobs.cancel import Cancel

DEVICE = Device(kind="cpu", name="a CPU, 8 threads", memory_bytes=32 << 30)

# How five of a hundred jobs stand; the others have succeeded.
_STANDS = {0: JobState.QUEUED, 1: JobState.RUNNING, 2: JobState.CANCELLED, 3: JobState.FAILED, 4: JobState.FAILED}
_MEBIBYTE = 1 << 20
_CACHE_KIBIBYTES = 1 << 20

# The tables of a job, and which of their columns hold ids that a copy must have of its own.
_COPIED: dict[Table, tuple[str, ...]] = {
    tables.jobs: ("id",),
    tables.job_events: ("job_id",),
    tables.deletion_requests: ("id", "job_id"),
    tables.deletion_request_items: ("request_id",),
    tables.item_sets: ("id", "owner"),
    tables.measurements: (),
}


@dataclass(frozen=True)
class Lives:
    """What a worker does to the rows of a job, without a worker."""

    services: Services

    @property
    def _attempts(self) -> Attempts:
        services = self.services
        return Attempts(services.jobs, services.queue, services.clock, lease=timedelta(seconds=30), max_attempts=3)

    def live(self, job_id: str, until: JobState) -> None:
        """Bring a queued job to the state through all that comes before it, with the events of each step."""
        if until is JobState.QUEUED:
            return
        job = self._attempts.claim(job_id, owner="worker@bench")
        if job is None:
            raise RuntimeError(f"{job_id} is not queued")
        for stage in Stage:
            event = NewEvent(type=EventType.STAGE, message=stage.value, created_at=self.services.clock())
            progress = Progress(step=30, total_steps=60, eta_seconds=1.5)
            self.services.jobs.record(job_id, fence=job.fence, stage=stage, progress=progress, events=[event])
        if until is not JobState.RUNNING:
            self._end(job, until)

    def _end(self, job: Job, state: JobState) -> None:
        match state:
            case JobState.SUCCEEDED:
                items = [item.item_id for request in self.services.jobs.requests_of(job.id) for item in request.items]
                forgotten = [ItemDisposition(item_id=item, disposition=Disposition.FORGOTTEN) for item in items]
                self._attempts.succeed(job, _package(job.id), forgotten)
                self.services.measurements.add(_measurement(job))
            case JobState.FAILED:
                self._attempts.fail(job, PublicError(code="runner_died", message="3 attempts ended without a result"))
            case _:
                Cancel(self.services.jobs, self.services.clock)(job.id, tenant=job.tenant)
                self._attempts.cancelled(job)


def first_jobs(
    client: TestClient, keys: Sequence[str], bodies: Sequence[Mapping[str, object]], lives: Lives, *, count: int
) -> None:
    """File so many requests over HTTP, by each key in turn, and let their jobs live: nearly all have succeeded."""
    for number in range(count):
        headers = {"Authorization": f"Bearer {keys[number % len(keys)]}"}
        answer = client.post("/v1/deletion-requests", json=bodies[number % len(bodies)], headers=headers)
        lives.live(answer.raise_for_status().json()["job_id"], _STANDS.get(number % 100, JobState.SUCCEEDED))


def multiply(engine: Engine, *, times: int) -> None:
    """Add copies of all jobs until there are so many times as many, each copy a minute older than the one before.

    Ids are spread over their whole range, as random ones are: an index that is filled in order is a smaller one.
    """
    first = select(literal(1, Integer).label("number")).cte(recursive=True)
    numbers = first.union_all(select(first.c.number + 1).where(first.c.number < times - 1))
    with engine.connect() as connection:
        # With the indexes in memory it takes a fraction of the time.
        connection.exec_driver_sql(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
        for table, ids in _COPIED.items():
            copied = _copied(table, ids, numbers.c.number)
            rows = select(*copied.values()).select_from(table).join(numbers, literal(value=True))
            connection.execute(insert(table).from_select(list(copied), rows))
            connection.commit()


def _copied(table: Table, ids: Sequence[str], number: ColumnElement[int]) -> dict[str, ColumnElement[Any]]:
    """Return what each column of a copy holds. The number of a measurement is left to the database."""
    copied: dict[str, ColumnElement[Any]] = {column.name: column for column in table.c if column.name != "number"}
    for name, column in copied.items():
        if name in ids:
            copied[name] = _own_id(column, number)
        elif isinstance(column.type, UtcDateTime):
            earlier = func.strftime("%Y-%m-%d %H:%M:%f", column, func.printf("-%d minutes", number))
            copied[name] = earlier.concat("000")  # SQLite counts milliseconds, the columns microseconds
    return copied


def _own_id(column: ColumnElement[str], number: ColumnElement[int]) -> ColumnElement[str]:
    """Return the id with other digits in front, and behind it a letter that no id has which is not a copy."""
    prefix = func.substr(column, 1, func.instr(column, "_"))
    digits = func.printf("%04x", number * 40503 % 65536)  # odd, so that all numbers give digits of their own
    return prefix.concat(digits).concat(func.substr(column, -20)).concat("z")


def _package(job_id: str) -> Package:
    def file(name: str) -> StoredFile:
        return StoredFile(key=f"packages/{job_id}/{name}", sha256="ab" * 32, size=_MEBIBYTE)

    return Package(adapter=file("adapter.zip"), report_json=file("report.json"), report_html=file("report.html"))


def _measurement(job: Job) -> Measurement:
    if job.workload is None:
        raise RuntimeError("the base model has sizes, so its jobs have workloads")
    return Measurement(
        weights_sha256=job.spec.weights_sha256,
        device=DEVICE,
        workload=job.workload,
        steps=job.workload.steps,
        reused_statistics=True,
        start_seconds=0.4,
        seconds=dict.fromkeys(Stage, 5.0),
        peak_memory_bytes=900 * _MEBIBYTE,
        measured_at=job.created_at,
    )
