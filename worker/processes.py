import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self, cast

from worker.orders import Order

_PAUSE_SECONDS = 0.05
_DEAD = ("Z", "X")  # waiting to be reaped by whoever adopted them; they hold no memory any more


# Read by OpenMP when torch loads. By default its threads spin while they wait for each other, which costs a
# busy machine dearly; an operator's own setting goes before.
_PATIENT_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}


# What a runner says on its stdout after an attempt that left it fit for another one. Else the attempt's end is its own.
READY = b"ready\n"
_LAST_SECONDS = 5.0  # between the end of a runner's stdout and that of its process; milliseconds are enough


@dataclass(frozen=True)
class RunnerProcess:
    """The process group in which attempts run, one after the other.

    The kernel closes our side of the pipe with its orders however we die, and the runner ends when it does, so a killed
    worker leaves no run behind.
    """

    leader: subprocess.Popen[bytes]
    orders: IO[bytes]
    voice: IO[bytes]

    @classmethod
    def start(cls, command: Sequence[str]) -> Self:
        """Start the runner in a new session."""
        environment = {**_PATIENT_THREADS, **os.environ}
        pipe = subprocess.PIPE
        leader = subprocess.Popen(  # noqa: S603  # settings, not input
            command, stdin=pipe, stdout=pipe, bufsize=0, start_new_session=True, env=environment
        )
        return cls(leader, cast("IO[bytes]", leader.stdin), cast("IO[bytes]", leader.stdout))

    def tell(self, order: Order) -> None:
        """Tell the runner which attempt to run. It may have ended just before: its exit code will say why."""
        with suppress(BrokenPipeError):
            self.orders.write(order.line())

    def has_news(self, *, within_seconds: float) -> bool:
        """Whether the attempt is over, or the runner, as soon as that is so, or after waiting for this long."""
        heard, _, _ = select.select([self.voice], [], [], within_seconds)
        return bool(heard) or not self.is_running

    def is_ready(self) -> bool:
        """Whether the news is that the runner waits for another attempt."""
        heard, _, _ = select.select([self.voice], [], [], 0)
        return bool(heard) and self.voice.read(len(READY)) == READY

    def exit_code(self) -> int:
        """Return how the runner ended (negative: by that signal), if the news was another one."""
        try:
            return self.leader.wait(_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL  # which is what comes next

    @property
    def is_running(self) -> bool:
        """Whether the runner itself still runs."""
        return self.leader.poll() is None

    @property
    def is_alone(self) -> bool:
        """Whether nothing else runs in its group. False where the system does not tell."""
        return _members(self.leader.pid) == {self.leader.pid}

    def end(self, *, grace_seconds: float) -> int:
        """Return the runner's exit code once nothing of its group is left.

        SIGTERM first, if there is any grace; then SIGKILL for whatever is still there, also after a runner that ended
        by itself.
        """
        if grace_seconds and self.leader.poll() is None:
            self._signal(signal.SIGTERM)
            self._wait_for_leader(grace_seconds)
        self._signal(signal.SIGKILL)
        exit_code = self.leader.wait()
        while group_is_alive(self.leader.pid):
            time.sleep(_PAUSE_SECONDS)
        self.orders.close()
        self.voice.close()
        return exit_code

    def _wait_for_leader(self, seconds: float) -> None:
        try:
            self.leader.wait(seconds)
        except subprocess.TimeoutExpired:
            return

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.leader.pid, number)
        except (ProcessLookupError, PermissionError):  # gone; macOS says EPERM when only zombies are left
            return


def group_is_alive(group: int) -> bool:
    """Whether a process of the group still runs. On Linux, zombies do not count: a container may never reap them."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return _members(group) != set()


def _members(group: int) -> set[int] | None:
    """Return the processes of a group that still run, None on a system that does not list them as Linux does."""
    processes = Path("/proc")
    if not (processes / "self" / "stat").exists():
        return None
    return {int(entry.name) for entry in processes.iterdir() if entry.name.isdigit() and _is_alive_in(group, entry)}


def _is_alive_in(group: int, process: Path) -> bool:
    try:
        # After the parenthesised name, which may hold anything: state, parent, group.
        state, _, its_group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
    except (OSError, ValueError):  # it ended while we looked
        return False
    return int(its_group) == group and state not in _DEAD
