from collections.abc import Sequence
from dataclasses import dataclass

from core.domain.job import Job
from worker.logs import get_logger
from worker.orders import Order
from worker.processes import RunnerProcess

log = get_logger(__name__)


@dataclass(frozen=True)
class _Served:
    """Whom a runner serves in its life: never two tenants, never two base models."""

    tenant: str
    base_model: str
    weights_sha256: str

    @classmethod
    def by(cls, job: Job) -> "_Served":
        return cls(job.tenant, job.spec.base_model, job.spec.weights_sha256)


class WarmRunner:
    """Starts runners, and keeps the last one, with its libraries and its base model in memory, for the next job.

    Only a runner that has just said that it is ready is kept: one whose attempt ended in any other way is gone. It says
    so after a success alone, when nothing of the job is left in it and it has not served its number of jobs. It ends by
    itself when there is nothing to do for long, and when this process ends.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """Begin with none."""
        self._command = command
        self._kept: tuple[_Served, RunnerProcess] | None = None

    def told_of(self, job: Job) -> RunnerProcess:
        """Return a runner that was told of the attempt: the kept one if it may serve this job, else a new one.

        Raises:
            OSError: no process could be started.
        """
        kept = self._taken_for(job)
        runner = kept or RunnerProcess.start(self._command)
        log.info("runner started" if kept is None else "runner goes on", pid=runner.leader.pid)
        runner.tell(Order(job.id, job.fence))
        return runner

    def keep(self, runner: RunnerProcess, job: Job) -> None:
        """Keep a runner that is ready after this job, unless the job left other processes in its group."""
        if runner.is_alone:
            self._kept = (_Served.by(job), runner)
        else:
            runner.end(grace_seconds=0)

    def _taken_for(self, job: Job) -> RunnerProcess | None:
        """Return the kept runner if it still runs and may serve the job; end it otherwise."""
        if self._kept is None:
            return None
        served, runner = self._kept
        self._kept = None
        if served == _Served.by(job) and runner.is_running:
            return runner
        runner.end(grace_seconds=0)  # it holds nothing but memory
        return None
