import time
from collections.abc import Callable
from typing import TypeVar

from core.domain.errors import LetheError, StaleJobError
from worker.logs import get_logger

T = TypeVar("T")


def outlast(call: Callable[[], T], *, seconds: float, doing: str, pause_seconds: float = 0.5) -> T:
    """Return what the call returns, calling again while its backend is away, for up to ``seconds``.

    An error of the domain is an answer and passes, save a lost race, which is run again. Everything else is taken for
    an outage: which exceptions a database or a store throws when it restarts is no list that one could keep complete.
    The call must therefore be one that may be repeated.
    """
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            return call()
        except LetheError as answer:
            if not isinstance(answer, StaleJobError):
                raise
        except Exception:
            if time.monotonic() + pause_seconds > give_up_at:
                raise
            get_logger(__name__).warning("a backend is away, trying again", doing=doing, exc_info=True)
        time.sleep(pause_seconds)
