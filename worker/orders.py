import os
import queue
import signal
import sys
import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Order:
    """Which attempt to run."""

    job_id: str
    fence: int

    @classmethod
    def parse(cls, line: bytes) -> "Order":
        """Return the order that :meth:`line` wrote."""
        job_id, fence = line.decode().split()
        return cls(job_id, int(fence))

    def line(self) -> bytes:
        """Return it as it goes through the pipe."""
        return f"{self.job_id} {self.fence}\n".encode()


class Orders:
    """What the worker tells its runner, over the runner's stdin: a line for each attempt.

    The worker holds the other end, so that the end of the file says that it is dead. The runner then ends at once, with
    all of its group: killing a worker, even with SIGKILL, leaves no run behind. Portable, unlike asking Linux for a
    signal, which would come already at the end of the thread that started us.
    """

    def __init__(self) -> None:
        """Listen from now on, in a thread of its own, for the main thread computes."""
        self._received: queue.SimpleQueue[Order] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    def next(self, *, within_seconds: float) -> Order | None:
        """Return the next order, None if there is none for so long."""
        try:
            return self._received.get(timeout=within_seconds)
        except queue.Empty:
            return None

    def _listen(self) -> None:
        # Unbuffered: a buffer's lock, held by this thread for good, would abort an interpreter that shuts down.
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as lines:
            for line in lines:
                self._received.put(Order.parse(line))
        if os.getpgrp() == os.getpid():  # else the group is a terminal's, and others are in it
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(1)
