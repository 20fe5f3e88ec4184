import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from structlog.contextvars import bound_contextvars

from core.domain.errors import LeaseLostError
from core.domain.job import Job
from core.domain.states import JobState
from core.jobs.attempt import Attempts
from core.jobs.destroy_probed import DestroyProbed
from core.ports import ArtifactStore
from worker.checkpoints import discard_if_ended
from worker.exit_codes import RunnerExit, reason_for
from worker.heartbeat import Heartbeat
from worker.logs import get_logger
from worker.outage import outlast
from worker.processes import RunnerProcess
from worker.scratch import clear_older_attempts, work_dir_name
from worker.warm_runner import WarmRunner

_SETTLING_SECONDS = 60.0  # what a runner may take to find out that its base model is as it was; most of it is reading

log = get_logger(__name__)


@dataclass(frozen=True)
class Ending:
    """Why watching a runner is over. ``grace_seconds`` is what a runner that still lives is given to end by itself."""

    reason: str
    costs_attempt: bool = True
    grace_seconds: float = 0.0
    keeps_runner: bool = False


@dataclass(frozen=True)
class Supervisor:
    """Runs one job at a time in a child process, and never lets go of it before nothing of it is left.

    The child holds the mathematics, the GPU and the texts; this side holds the lease and the right to kill. One that
    says that nothing of a job is left in it serves the next, see :class:`WarmRunner`. Calling it twice with one id is
    harmless, because the second claim finds nothing to do.
    """

    attempts: Attempts
    store: ArtifactStore
    destroy_probed: DestroyProbed
    runners: WarmRunner
    owner: str
    work_dir: Path
    heartbeat_seconds: float
    cancel_grace_seconds: float
    on_unfit: Callable[[], None]  # ends the worker, once what runs has been handed back
    poll_seconds: float = 0.5
    stopping: threading.Event = field(default_factory=threading.Event)
    busy: threading.Event = field(default_factory=threading.Event)

    def __call__(self, job_id: str) -> None:
        """Run the job that a message names, if there is anything to run."""
        if self.stopping.is_set():
            return  # the job is still queued, and the sweep publishes it for a worker that stays
        self.busy.set()
        try:
            with bound_contextvars(job_id=job_id):
                self._claim_and_run(job_id)
        finally:
            self.busy.clear()

    def _claim_and_run(self, job_id: str) -> None:
        job = self.attempts.claim(job_id, owner=self.owner)
        if job is None:
            log.info("nothing to do: the job runs elsewhere or has ended")
        else:
            clear_older_attempts(self.work_dir, job)
            with bound_contextvars(attempt=job.attempts):
                self._run(job)
        self.destroy_probed.of(job_id)
        discard_if_ended(job_id, jobs=self.attempts.jobs, store=self.store)

    def _run(self, job: Job) -> None:
        try:
            runner = self.runners.told_of(job)
        except OSError:
            log.exception("the runner did not start")
            self._give_back(job, Ending("its process could not be started"))
            return
        ending = Ending("its worker failed to watch it")
        try:
            ending = self._watch(job, runner)
        finally:
            if ending.keeps_runner:
                self.runners.keep(runner, job)
            else:
                exit_code = runner.end(grace_seconds=ending.grace_seconds)
                log.info("runner ended", exit_code=exit_code, reason=ending.reason)
            shutil.rmtree(self.work_dir / work_dir_name(job), ignore_errors=True)
            self._give_back(job, ending)

    def _watch(self, job: Job, runner: RunnerProcess) -> Ending:
        heartbeat = Heartbeat(self.attempts, job, every_seconds=self.heartbeat_seconds)
        while not runner.has_news(within_seconds=self.poll_seconds):
            if self.stopping.is_set():
                return Ending("its worker was shut down", costs_attempt=False, grace_seconds=self.cancel_grace_seconds)
            try:
                state = heartbeat.beat()
            except LeaseLostError:
                if not self._has_succeeded(job) or not runner.has_news(within_seconds=_SETTLING_SECONDS):
                    return Ending("its lease was lost")
                break
            if state is JobState.CANCELLING:
                return Ending("it was cancelled", grace_seconds=self.cancel_grace_seconds)
        if runner.is_ready():
            return Ending(reason_for(RunnerExit.FINISHED, attempt=job.attempts), keeps_runner=True)
        return self._ending(runner.exit_code(), job)

    def _has_succeeded(self, job: Job) -> bool:
        """Whether the lease has ended because the runner itself recorded a success, after which it clears up."""
        return self.attempts.jobs.job(job.id).state is JobState.SUCCEEDED

    def _ending(self, exit_code: int, job: Job) -> Ending:
        """Say how the runner ended. One that cannot run jobs takes no more: else it would return them all."""
        if exit_code == RunnerExit.UNFIT:
            self.stopping.set()
            self.on_unfit()
        no_fault_of_the_job = exit_code in {RunnerExit.UNFIT, RunnerExit.IDLE}
        return Ending(reason_for(exit_code, attempt=job.attempts), costs_attempt=not no_fault_of_the_job)

    def _give_back(self, job: Job, ending: Ending) -> None:
        """End whatever the runner left open; nothing, when it recorded its own end.

        Should the database stay away for as long as the lease lasts, the sweep does this instead.
        """
        outlast(
            lambda: self._give_back_once(job, ending),
            seconds=self.attempts.lease.total_seconds(),
            doing="hand back the job",
        )

    def _give_back_once(self, job: Job, ending: Ending) -> None:
        # lost() yields to whoever changes the job at the same moment, such as a cancel; then it has to look again.
        while self._is_ours(job):
            self.attempts.lost(job, reason=ending.reason, count_attempt=ending.costs_attempt)

    def _is_ours(self, job: Job) -> bool:
        present = self.attempts.jobs.job(job.id)
        return present.lease is not None and present.fence == job.fence
