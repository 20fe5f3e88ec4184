import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from cli.client import ApiClient
from cli.errors import UnansweredError

_WITHIN_SECONDS = 10.0  # a runner has five to stop by itself
_LOOK_EVERY_SECONDS = 0.5


@contextmanager
def cancelled_on_error(
    client: ApiClient,
    job_id: str,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Cancel the job when the body raises, Ctrl-C included, and wait a little until nothing of it runs.

    A job that is left in the queue would compete with that of the next demo in the same directory.
    """
    try:
        yield
    except BaseException:
        # What the body raised is what the user must see, whatever goes wrong here.
        with suppress(Exception):
            _cancel(client, job_id, now=now, sleep=sleep)
        raise


def _cancel(client: ApiClient, job_id: str, *, now: Callable[[], float], sleep: Callable[[float], None]) -> None:
    """Ask until the job has ended: asking twice does no harm, and a job that changes meanwhile asks for it."""
    client.http.timeout = _WITHIN_SECONDS
    given_up_at = now() + _WITHIN_SECONDS
    while now() < given_up_at:
        with suppress(UnansweredError):
            if client.cancel(job_id).is_terminal:
                return
        sleep(_LOOK_EVERY_SECONDS)
