from dataclasses import dataclass
from datetime import UTC, datetime

from celery import Celery
from pydantic import SecretStr

from core.backends.queue import CELERY_SETTINGS, RUN_JOB, CeleryJobQueue
from core.backends.sql.base_model_repository import SqlBaseModelRepository
from core.backends.sql.engine import open_engine
from core.backends.sql.item_store import SqlItemStore
from core.backends.sql.job_repository import SqlJobRepository
from core.backends.sql.measurement_repository import SqlMeasurementRepository
from core.backends.sql.worker_repository import SqlWorkerRepository
from core.backends.storage.object_store import open_store
from core.jobs.admission import Admission
from core.jobs.attempt import Attempts
from core.jobs.history import History
from core.ports import (
    ArtifactStore,
    BaseModelRepository,
    ItemStore,
    JobQueue,
    JobRepository,
    MeasurementRepository,
    WorkerRepository,
)
from worker.settings import WorkerSettings

JOB_TASK = RUN_JOB


@dataclass(frozen=True)
class Backends:
    """The world as the worker, its runner and the sweeper see it: one implementation for each port."""

    celery: Celery
    jobs: JobRepository
    base_models: BaseModelRepository
    items: ItemStore
    store: ArtifactStore
    queue: JobQueue
    measurements: MeasurementRepository
    workers: WorkerRepository


def open_backends(settings: WorkerSettings) -> Backends:
    """Return the backends that the settings choose. Only the store is touched already: its directory is made."""
    engine = open_engine(settings.database_url.get_secret_value())
    celery = Celery("lethe", broker=settings.broker_url.get_secret_value(), set_as_current=False)
    celery.conf.update(CELERY_SETTINGS)
    return Backends(
        celery=celery,
        jobs=SqlJobRepository(engine),
        base_models=SqlBaseModelRepository(engine),
        items=SqlItemStore(engine),
        store=open_store(
            settings.store_url,
            endpoint=settings.s3_endpoint_url,
            access_key=settings.s3_access_key_id,
            secret_key=_revealed(settings.s3_secret_access_key),
            region=settings.s3_region,
        ),
        queue=CeleryJobQueue(celery),
        measurements=SqlMeasurementRepository(engine),
        workers=SqlWorkerRepository(engine),
    )


def attempts_of(settings: WorkerSettings, backends: Backends) -> Attempts:
    """Return the use case that moves jobs through their attempts."""
    return Attempts(
        jobs=backends.jobs,
        queue=backends.queue,
        clock=utc_now,
        lease=settings.lease,
        max_attempts=settings.max_attempts,
    )


def admission_of(backends: Backends) -> Admission:
    """Return what tells whether there is memory for a job."""
    return Admission(History(backends.measurements), backends.workers, utc_now)


def utc_now() -> datetime:
    """The clock of a real deployment. Machines must agree to within a fraction of the lease, as NTP gives."""
    return datetime.now(UTC)


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
