from collections.abc import Callable
from dataclasses import dataclass

from core.domain.errors import JobFailure, LeaseLostError, WorkerUnfitError
from core.domain.job import Job, PublicError
from core.domain.states import JobState
from core.jobs.attempt import Attempts
from core.ports import ArtifactStore
from worker.checkpoints import discard_if_ended
from worker.delivery import Answer, Outcome, deliver, deliver_answer
from worker.exit_codes import RunnerExit
from worker.logs import get_logger
from worker.monitor import DatabaseJobMonitor
from worker.outage import outlast

_OUTAGE_SECONDS = 120.0  # what a finished training is worth waiting for; the supervisor keeps the lease meanwhile

log = get_logger(__name__)


class StopRequestedError(BaseException):
    """SIGTERM, as an exception in the main thread. Not an Exception, so that no handler on its way takes it for one."""


@dataclass(frozen=True)
class Execution:
    """One attempt, from the claimed row to the recorded end. ``recipe`` is the mathematics in between."""

    attempts: Attempts
    store: ArtifactStore
    recipe: Callable[[Job, DatabaseJobMonitor], Outcome | Answer]
    checkpoint_seconds: float = 15.0

    def __call__(self, job_id: str, fence: int) -> RunnerExit:
        """Run the attempt, and return what the supervisor needs to know."""
        try:
            job = outlast(lambda: self._claimed(job_id, fence), seconds=_OUTAGE_SECONDS, doing="read the job")
            return self._run(job)
        except LeaseLostError:
            log.warning("the attempt does not own the job any more")
            return RunnerExit.LEASE_LOST
        except WorkerUnfitError as unfit:
            log.critical("this worker cannot run any job", reason=str(unfit))
            return RunnerExit.UNFIT
        except StopRequestedError:
            log.info("stopped on request")
            return RunnerExit.STOPPED
        except Exception:
            log.exception("unexpected error")
            return RunnerExit.UNEXPECTED

    def _claimed(self, job_id: str, fence: int) -> Job:
        job = self.attempts.jobs.job(job_id)
        if job.fence != fence or job.state is not JobState.RUNNING:
            raise LeaseLostError(f"attempt {fence} of job {job_id} is over")
        return job

    def _run(self, job: Job) -> RunnerExit:
        monitor = DatabaseJobMonitor(
            job,
            jobs=self.attempts.jobs,
            store=self.store,
            clock=self.attempts.clock,
            checkpoint_seconds=self.checkpoint_seconds,
        )
        try:
            outcome = self.recipe(job, monitor)
        except JobFailure as failure:
            log.warning("the job failed", code=failure.code)
            self._fail(job, PublicError(code=failure.code, message=str(failure)))
            end = RunnerExit.FAILED
        else:
            self._end(job, monitor, outcome)
            end = RunnerExit.FINISHED
        self._discard_checkpoint(job)
        return end

    def _end(self, job: Job, monitor: DatabaseJobMonitor, outcome: Outcome | Answer) -> None:
        match outcome:
            case Outcome():
                self._succeed(job, monitor, outcome)
            case Answer():
                self._answer(job, monitor, outcome)

    def _answer(self, probe: Job, monitor: DatabaseJobMonitor, answer: Answer) -> None:
        result = outlast(lambda: deliver_answer(answer, self.store), seconds=_OUTAGE_SECONDS, doing="store the result")
        monitor.flush()
        outlast(lambda: self.attempts.answer(probe, result), seconds=_OUTAGE_SECONDS, doing="record the result")
        log.info("the probe succeeded", result_sha256=result.sha256)

    def _succeed(self, job: Job, monitor: DatabaseJobMonitor, outcome: Outcome) -> None:
        package = outlast(lambda: deliver(outcome, self.store), seconds=_OUTAGE_SECONDS, doing="store the package")
        monitor.flush()
        outlast(
            lambda: self.attempts.succeed(job, package, outcome.dispositions),
            seconds=_OUTAGE_SECONDS,
            doing="record the success",
        )
        log.info("the job succeeded", adapter_sha256=package.adapter.sha256 if package.adapter else None)

    def _fail(self, job: Job, error: PublicError) -> None:
        outlast(lambda: self.attempts.fail(job, error), seconds=_OUTAGE_SECONDS, doing="record the failure")

    def _discard_checkpoint(self, job: Job) -> None:
        outlast(
            lambda: discard_if_ended(job.id, jobs=self.attempts.jobs, store=self.store),
            seconds=_OUTAGE_SECONDS,
            doing="remove the checkpoint",
        )
