import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from core.domain.job import Job

_PAUSE_SECONDS = 0.05
_DEAD = ("Z", "X")  # waiting to be reaped by whoever adopted them; they hold no memory any more


# Read by OpenMP when torch loads. By default its threads spin while they wait for each other, which costs a
# busy machine dearly; an operator's own setting goes before.
_PATIENT_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class RunnerProcess:
    """The process group in which one attempt runs.

    The runner reads its stdin only to notice its end: the kernel closes our side of the pipe however we die, so a
    killed worker leaves no run behind.
    """

    leader: subprocess.Popen[bytes]

    @classmethod
    def start(cls, command: Sequence[str], job: Job) -> Self:
        """Start the runner in a new session, told only whose attempt it is."""
        arguments = [*command, job.id, str(job.fence)]
        environment = {**_PATIENT_THREADS, **os.environ}
        leader = subprocess.Popen(arguments, stdin=subprocess.PIPE, start_new_session=True, env=environment)  # noqa: S603  # settings, not input
        return cls(leader)

    def exit_code(self) -> int | None:
        """Return how the runner ended (negative: by that signal), or None while it runs."""
        return self.leader.poll()

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
        if self.leader.stdin:
            self.leader.stdin.close()
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
    processes = Path("/proc")
    if not (processes / "self" / "stat").exists():
        return True
    return any(_is_alive_in(group, entry) for entry in processes.iterdir() if entry.name.isdigit())


def _is_alive_in(group: int, process: Path) -> bool:
    try:
        # After the parenthesised name, which may hold anything: state, parent, group.
        state, _, its_group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
    except (OSError, ValueError):  # it ended while we looked
        return False
    return int(its_group) == group and state not in _DEAD
