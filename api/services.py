from collections.abc import Callable
from dataclasses import dataclass

from core.ports import (
    ApiKeyRepository,
    ArtifactStore,
    BaseModelRepository,
    Clock,
    ItemStore,
    JobQueue,
    JobRepository,
    MeasurementRepository,
    WorkerRepository,
)


@dataclass(frozen=True)
class Services:
    """The world as the API sees it: one implementation for each port.

    ``check_database`` returns if the database answers, else raises. ``outages`` are the exceptions by which these
    implementations say that they cannot answer now; they become 503 instead of 500. ``close`` gives connections back
    when the process ends.
    """

    jobs: JobRepository
    base_models: BaseModelRepository
    api_keys: ApiKeyRepository
    items: ItemStore
    artifacts: ArtifactStore
    queue: JobQueue
    measurements: MeasurementRepository
    workers: WorkerRepository
    clock: Clock
    check_database: Callable[[], None]
    outages: tuple[type[Exception], ...]
    close: Callable[[], None]
