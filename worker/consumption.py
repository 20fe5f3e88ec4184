import os
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from core.domain.errors import QueueUnavailableError
from core.ports import JobQueue
from worker.logs import get_logger

EXIT_STALLED = 75  # EX_TEMPFAIL: whoever supervises this process should start it again

_PAUSE_SECONDS = 2.0


class ConsumptionWatch:
    """Notices a worker that lives and consumes nothing, as Celery is known to do after its broker was replaced.

    An idle worker takes any message at once. So messages that wait, at every look, while this worker is idle,
    prove that it is deaf; no probe message is needed. Reports of the defect: celery issues 8030, 8091, 10205, 10302.
    """

    def __init__(self, queue: JobQueue, *, is_busy: Callable[[], bool], patience_seconds: float) -> None:
        """Begin with a worker that is taken to be well."""
        self._queue = queue
        self._is_busy = is_busy
        self._patience = patience_seconds
        self._well_at: float | None = None

    def is_stalled(self, now: float) -> bool:
        """Look once, and return whether messages have waited before an idle worker for too long."""
        if self._well_at is None or not self._is_ignoring_messages():
            self._well_at = now
        return now - self._well_at >= self._patience

    def _is_ignoring_messages(self) -> bool:
        if self._is_busy():
            return False
        try:
            return self._queue.depth() > 0
        except QueueUnavailableError:
            return False


def end_when_stalled(watch: ConsumptionWatch) -> None:
    """Watch from a thread of its own, and end the process when it is stalled. It is idle, so nothing is lost."""

    def look() -> NoReturn:
        while not watch.is_stalled(time.monotonic()):
            time.sleep(_PAUSE_SECONDS)
        get_logger(__name__).critical("messages wait and this idle worker takes none: ending, to be started again")
        os._exit(EXIT_STALLED)

    threading.Thread(target=look, name="consumption-watch", daemon=True).start()
