import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import CommandError

# The parts of a stack that was killed end within their guards' grace; until then the lock is theirs.
_PATIENCE_SECONDS = 15.0


@contextmanager
def only_stack_in(data_dir: Path, *, is_stopping: Callable[[], bool]) -> Iterator[int]:
    """Yield the descriptor of a lock on the directory; whoever inherits it holds the lock as well.

    Raises:
        CommandError: another stack runs in this directory.
    """
    descriptor = os.open(data_dir / "serve.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not _take(descriptor):
            if time.monotonic() > deadline or is_stopping():
                raise CommandError(f"another `lethe serve` runs in {data_dir}: stop it, or choose another --data-dir")
            time.sleep(0.2)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
