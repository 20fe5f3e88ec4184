import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Turn the first signal to stop into KeyboardInterrupt, and take no notice of others while we clean up."""
    before = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # A handler that does nothing rather than SIG_IGN, which a child process would inherit.
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    raise KeyboardInterrupt
