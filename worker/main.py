import os
import signal
import socket
import sys
from typing import Protocol

from celery.signals import setup_logging, worker_shutting_down

from core.jobs.destroy_probed import DestroyProbed
from worker.composition import JOB_TASK, attempts_of, open_backends, utc_now
from worker.consumption import ConsumptionWatch, end_when_stalled
from worker.logs import configure_logging, get_logger
from worker.presence import Presence
from worker.scratch import clear_abandoned
from worker.settings import WorkerSettings
from worker.supervisor import Supervisor
from worker.tasks import register
from worker.warm_runner import WarmRunner

log = get_logger(__name__)


class WorkerProgram(Protocol):
    """The part of ``celery.apps.worker.Worker`` that we start."""

    exitcode: int | None

    def start(self) -> None:
        """Consume until a signal says stop."""
        ...


def create_worker(settings: WorkerSettings) -> WorkerProgram:
    """Return a Celery worker that runs one job at a time, each in a child process.

    The ``threads`` pool, because ``prefork`` forks (CUDA does not survive it) and ``solo`` answers nobody while a job
    runs. Remote control is off: cancelling is a row in the database, and whoever reaches the broker commands nothing.
    """
    backends = open_backends(settings)
    owner = f"{socket.gethostname()}/{os.getpid()}"
    supervisor = Supervisor(
        attempts=attempts_of(settings, backends),
        store=backends.store,
        destroy_probed=DestroyProbed(backends.jobs, backends.items, utc_now),
        runners=WarmRunner(settings.runner_command),
        owner=owner,
        work_dir=settings.work_dir,
        heartbeat_seconds=settings.heartbeat_seconds,
        cancel_grace_seconds=settings.cancel_grace_seconds,
        on_unfit=lambda: os.kill(os.getpid(), signal.SIGTERM),  # Celery waits for what runs
    )
    register(backends.celery, JOB_TASK, supervisor)
    backends.celery.conf.update(worker_enable_remote_control=False, worker_redirect_stdouts=False)
    # Weak references would be dropped at once, and with them the reaction.
    setup_logging.connect(_keep_our_logging, weak=False)
    worker_shutting_down.connect(lambda **_: supervisor.stopping.set(), weak=False)
    Presence(backends.workers, owner, utc_now).keep_saying()
    end_when_stalled(
        ConsumptionWatch(
            backends.queue, is_busy=supervisor.busy.is_set, patience_seconds=settings.stalled_after_seconds
        )
    )
    program: WorkerProgram = backends.celery.Worker(
        pool="threads",
        concurrency=1,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    return program


def main() -> None:
    """Run a worker until SIGTERM; a job that runs then goes back to the queue without losing an attempt."""
    settings = WorkerSettings()
    configure_logging(settings.log_level)
    log.info("worker starts", lease_seconds=settings.lease_seconds, device=settings.device)
    _clear_scratch(settings)
    worker = create_worker(settings)
    worker.start()
    sys.exit(worker.exitcode or 0)


def _clear_scratch(settings: WorkerSettings) -> None:
    """Remove what killed workers left on this machine. A database that is away does not keep a worker from starting."""
    try:
        clear_abandoned(settings.work_dir, open_backends(settings).jobs)
    except Exception:
        log.warning("scratch directories of killed workers were not looked for", exc_info=True)


def _keep_our_logging(**_: object) -> None:
    """Do nothing: that there is a receiver keeps Celery from setting up its own logging."""


if __name__ == "__main__":
    main()
