import os
import signal
import sys
import threading


def end_with_parent() -> None:
    """End this process, and all of its group, at once when the worker that started it is gone.

    The worker holds the other end of our stdin and never writes to it, so the read returns exactly when the worker
    is dead. Killing a worker, even with SIGKILL, therefore leaves no run behind. Portable, unlike asking Linux for a
    signal, which would come already at the end of the thread that started us.
    """
    threading.Thread(target=_wait_and_end, name="orphan-watch", daemon=True).start()


def _wait_and_end() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        continue
    if os.getpgrp() == os.getpid():  # else the group is a terminal's, and others are in it
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
