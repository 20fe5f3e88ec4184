import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from worker.exit_codes import RunnerExit
from worker.lockstep import Part, Voice
from worker.logs import get_logger

_COMMAND = (sys.executable, "-m", "worker.follower")

log = get_logger(__name__)


@dataclass(frozen=True)
class Followers:
    """The other processes of a run, in the runner's own process group: whoever ends the runner ends them too.

    They are told everything through their stdin, which closes when the runner ends however it does. A run that lost one
    of them would wait for it for ever, so then the runner ends as well.
    """

    voice: Voice

    @classmethod
    def start(cls, part: Part, command: Sequence[str] = _COMMAND) -> "Followers":
        """Start all of them, and give each its part; the rank in ``part`` is ignored."""
        listeners = []
        for rank in range(1, part.size):
            follower = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0)  # noqa: S603  # our own module
            threading.Thread(target=_outlive, args=(follower,), name=f"follower {rank}", daemon=True).start()
            if follower.stdin is None:
                raise RuntimeError("a process that was started with a pipe has none")
            listeners.append(Connection(os.dup(follower.stdin.fileno()), readable=False))
            listeners[-1].send(replace(part, rank=rank))
        return cls(Voice(listeners))


def _outlive(follower: "subprocess.Popen[bytes]") -> None:
    exit_code = follower.wait()
    log.critical("a part of the run ended before it: the runner ends", exit_code=exit_code)
    os._exit(RunnerExit.UNEXPECTED)
