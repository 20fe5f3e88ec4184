import threading
import time
from dataclasses import dataclass

from core.domain.device import LiveWorker
from core.jobs.admission import ALIVE_WITHIN
from core.ports import Clock, WorkerRepository
from worker.logs import get_logger

_EVERY_SECONDS = ALIVE_WITHIN.total_seconds() / 4  # a moment without the database is no death

log = get_logger(__name__)


@dataclass(frozen=True)
class Presence:
    """Says that a worker is alive, for estimates and admission. What it computes on, its runner says."""

    workers: WorkerRepository
    owner: str
    clock: Clock

    def say(self) -> None:
        """Say it once. A database that is away is told next time."""
        try:
            self.workers.seen(LiveWorker(owner=self.owner, device=None, seen_at=self.clock()))
        except Exception:
            log.warning("that this worker is alive could not be said", exc_info=True)

    def keep_saying(self) -> None:
        """Say it from a thread of its own, as long as the process lives."""

        def repeat() -> None:
            while True:
                self.say()
                time.sleep(_EVERY_SECONDS)

        threading.Thread(target=repeat, name="presence", daemon=True).start()
