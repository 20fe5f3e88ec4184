from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from core.domain.errors import QueueUnavailableError

QUEUE = "lethe.jobs"
RUN_JOB = "lethe.run_job"

# Shared by every process that makes a Celery app. One job at a time and late acknowledgement, because a job is
# long; no result backend, because the database is the truth; no retry loop when publishing, because the sweep retries.
CELERY_SETTINGS: dict[str, Any] = {
    "task_default_queue": QUEUE,
    "task_ignore_result": True,
    "task_acks_late": True,
    "task_reject_on_worker_lost": False,
    "task_serializer": "json",
    "accept_content": ["json"],
    "worker_prefetch_multiplier": 1,
    "worker_concurrency": 1,
    "worker_hijack_root_logger": False,
    "worker_send_task_events": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "task_publish_retry": False,
    "broker_transport_options": {
        "visibility_timeout": 3600,
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        # Who publishes learns at once that the broker is away, instead of after six seconds of pauses between
        # attempts. A worker's reconnecting has settings of its own and goes on for ever.
        "max_retries": 1,
        "interval_start": 0,
    },
}


class CeleryApp(Protocol):
    """The part of ``celery.Celery`` that publishing needs; the composition roots bring the real one."""

    def send_task(self, name: str, args: Sequence[str], **options: object) -> object:
        """Publish a message for the named task."""
        ...

    def connection_for_read(self) -> AbstractContextManager[Any]:
        """Return a broker connection."""
        ...

    @property
    def conf(self) -> Mapping[str, Any]:
        """The app's settings."""
        ...


@dataclass(frozen=True)
class CeleryJobQueue:
    """Job ids as Celery messages on Redis or Valkey. Nothing but the id is in a message."""

    app: CeleryApp

    def publish(self, job_id: str) -> None:
        """See :class:`core.ports.JobQueue`."""
        try:
            self.app.send_task(RUN_JOB, args=[job_id], queue=QUEUE, argsrepr="(job id)", retry=False)
        except (OperationalError, RedisError, OSError) as broken:
            raise QueueUnavailableError("the broker did not take the message") from broken

    def depth(self) -> int:
        """See :class:`core.ports.JobQueue`."""
        try:
            with self.app.connection_for_read() as connection:
                return int(connection.default_channel.client.llen(QUEUE))
        except (OperationalError, RedisError, OSError) as broken:
            raise QueueUnavailableError("the broker does not answer") from broken
