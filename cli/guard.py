"""Runs one command, and ends it when whoever started the guard is gone: ``python -I guard.py COMMAND...``.

The stack holds the other end of our stdin and never writes to it, so the read ends exactly when the stack has died,
were it by SIGKILL. A file of its own with nothing but the standard library: it starts in milliseconds and waits.
"""

import os
import signal
import subprocess
import sys
import threading

_GRACE_SECONDS = 8.0


def main() -> int:
    """Return how the command ended."""
    # The stack signals our whole group, so the command hears of it by itself and we only outlive it. A handler
    # that does nothing, because an ignored signal would stay ignored in the command.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)  # noqa: S603  # the stack's own parts
    threading.Thread(target=_end_with_stack, args=[command], daemon=True).start()
    exit_code = command.wait()
    return exit_code if exit_code >= 0 else 128 - exit_code


def _end_with_stack(command: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 1024):
        continue
    command.terminate()
    try:
        command.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
