import math
import time

from core.domain.errors import ArtifactMissingError, LetheError
from core.domain.events import EventType, NewEvent
from core.domain.job import Job, Progress, Stage
from core.ports import ArtifactStore, Clock, JobRepository
from worker.checkpoints import checkpoint_key
from worker.logs import get_logger
from worker.outage import outlast

_CHECKPOINT_EVENT_SECONDS = 60.0  # a history is read by people; a long run stores hundreds of checkpoints
_OUTAGE_SECONDS = 120.0  # as for what is delivered at the end; the supervisor keeps the lease meanwhile

log = get_logger(__name__)


class DatabaseJobMonitor:
    """See :class:`core.ports.JobMonitor`. Progress goes to the job's row, history to its events.

    Stores a checkpoint at most once in ``checkpoint_seconds``, for that of a large adapter takes seconds to send.
    Writes at most once in ``interval_seconds``, save at a new stage. What could not be written, because the
    database is away, is kept for the next write: a run is worth more than its progress bar.
    """

    def __init__(
        self,
        job: Job,
        *,
        jobs: JobRepository,
        store: ArtifactStore,
        clock: Clock,
        interval_seconds: float = 1.0,
        checkpoint_seconds: float = 15.0,
    ) -> None:
        """Begin before the first stage."""
        self._job = job
        self._jobs = jobs
        self._store = store
        self._clock = clock
        self._interval = interval_seconds
        self._stage = Stage.PREPARE
        self._progress = Progress()
        self._since: tuple[float, int] | None = None  # when, and at which step, this stage was first seen moving
        self._pending: list[NewEvent] = []
        self._due = 0.0
        self._checkpoint_seconds = checkpoint_seconds
        self._checkpoint_due = -math.inf  # the first one always goes through
        self._checkpoint_event_due = -math.inf

    def enter(self, stage: Stage, *, total_steps: int = 0) -> None:
        """See the port."""
        self._stage = stage
        self._progress = Progress(total_steps=total_steps)
        self._since = None
        self._remember(EventType.STAGE, stage.value, {"total_steps": total_steps})
        self.flush()
        log.info("stage", stage=stage.value, total_steps=total_steps)

    def advance(self, step: int) -> None:
        """See the port."""
        now = time.monotonic()
        total = self._progress.total_steps
        self._since = self._since or (now, step)
        self._progress = Progress(step=step, total_steps=total, eta_seconds=self._eta(now, step, total))
        if now >= self._due:
            self.flush()

    def metrics(self, message: str, data: dict[str, float]) -> None:
        """See the port."""
        self._remember(EventType.METRICS, message, dict(data))
        if time.monotonic() >= self._due:
            self.flush()

    def save_checkpoint(self, payload: bytes) -> None:
        """See the port. A store that is away costs this checkpoint, not the run."""
        now = time.monotonic()
        if now < self._checkpoint_due:
            return
        self._checkpoint_due = now + self._checkpoint_seconds
        self.flush()  # before the write: an attempt that lost its lease must not replace its successor's checkpoint
        try:
            self._store.put(checkpoint_key(self._job.id), payload)
        except LetheError:
            raise
        except Exception:
            log.warning("the checkpoint could not be stored", exc_info=True)
        else:
            self._tell_of_checkpoint(len(payload))

    def load_checkpoint(self) -> bytes | None:
        """See the port. Waits for a store that is away: to begin anew, or to end this attempt, would cost more."""
        key = checkpoint_key(self._job.id)
        try:
            payload = outlast(lambda: self._store.get(key), seconds=_OUTAGE_SECONDS, doing="read the checkpoint")
        except ArtifactMissingError:
            return None
        self._remember(EventType.RESUMED, "going on from the last checkpoint", {"bytes": len(payload)})
        return payload

    def flush(self) -> None:
        """Write now whatever is not written yet.

        Raises:
            LeaseLostError: the attempt is over.
        """
        self._due = time.monotonic() + self._interval
        try:
            self._jobs.record(
                self._job.id,
                fence=self._job.fence,
                stage=self._stage,
                progress=self._progress,
                events=tuple(self._pending),
            )
        except LetheError:
            raise
        except Exception:
            log.warning("progress could not be written", exc_info=True)
        else:
            self._pending.clear()

    def _tell_of_checkpoint(self, size: int) -> None:
        now = time.monotonic()
        if now < self._checkpoint_event_due:
            return
        self._checkpoint_event_due = now + _CHECKPOINT_EVENT_SECONDS
        self._remember(EventType.CHECKPOINT, "checkpoint saved", {"step": self._progress.step, "bytes": size})
        self.flush()

    def _remember(self, kind: EventType, message: str, data: dict[str, str | int | float | bool | None]) -> None:
        self._pending.append(NewEvent(type=kind, message=message, data=data, created_at=self._clock()))

    def _eta(self, now: float, step: int, total: int) -> float | None:
        """Extrapolate from the steps that this attempt has seen; a resumed one begins in the middle."""
        if self._since is None or step <= self._since[1]:
            return None
        seconds, steps = now - self._since[0], step - self._since[1]
        return round(max(total - step, 0) * seconds / steps, 1)
