import time
from collections.abc import Iterator
from contextlib import contextmanager

from core.domain.job import Stage
from core.ports import JobMonitor


class Stopwatch:
    """Announces each stage to the monitor and keeps how long it took, in seconds."""

    def __init__(self, monitor: JobMonitor) -> None:
        self._monitor = monitor
        self._done = 0
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, stage: Stage, *, total_steps: int = 0) -> Iterator[None]:
        """Within, the job is in this stage."""
        self._monitor.enter(stage, total_steps=total_steps)
        self._done = 0
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage.value] = round(time.perf_counter() - started, 3)

    def step(self) -> None:
        """Announce one more step of the stage as done, for whoever does not count them."""
        self._done += 1
        self._monitor.advance(self._done)
