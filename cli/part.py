import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cli import guard

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
_STEADY_AFTER_SECONDS = 30.0


@dataclass(frozen=True)
class Part:
    """A process of the stack: what it is called, how it is started, where it logs."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path


class RunningPart:
    """A part that is kept running, in a process group of its own with its guard."""

    def __init__(self, part: Part, *, inherited: Sequence[int]) -> None:
        """Start the part. ``inherited`` file descriptors stay open for as long as its guard lives."""
        self.part = part
        self._inherited = inherited
        self._pause = _FIRST_PAUSE_SECONDS
        self._restart_at: float | None = None
        self._start()

    @property
    def is_alive(self) -> bool:
        """Whether the part runs."""
        return self._process.poll() is None

    def keep_alive(self) -> bool:
        """Start the part again if it died, and return whether that was done.

        The pause before it doubles with each death in a row, so that a part that cannot start does not fill the disk
        with its complaints.
        """
        if self.is_alive:
            return False
        now = time.monotonic()
        if self._restart_at is None:
            self._signal(signal.SIGKILL)  # when only the guard was killed, the part itself still runs
            if now - self._started_at > _STEADY_AFTER_SECONDS:
                self._pause = _FIRST_PAUSE_SECONDS
            self._restart_at = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        if now < self._restart_at:
            return False
        self._start()
        return True

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the part."""
        self._signal(signal.SIGTERM)

    def stop(self, *, deadline: float) -> None:
        """Return once the part is gone: by itself until the deadline (monotonic), else killed."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(deadline - time.monotonic(), 0.0))
        self._signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def _start(self) -> None:
        self._restart_at = None
        self._started_at = time.monotonic()
        with self.part.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # the parts are our own
                [sys.executable, "-I", guard.__file__, *self.part.command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.part.environment},
                pass_fds=self._inherited,
                start_new_session=True,
            )

    def _signal(self, number: signal.Signals) -> None:
        # Gone already; macOS says EPERM when only zombies are left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
