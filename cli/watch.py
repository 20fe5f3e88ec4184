import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.client import ApiClient, EventView, JobView
from cli.errors import UnansweredError

T = TypeVar("T")

_LOOK_EVERY_SECONDS = 0.5
_ASK_AGAIN_EVERY_SECONDS = 5.0  # the Retry-After of the API
_PATIENCE_SECONDS = 60.0  # an API or a proxy has restarted by then
_NO_ACTION = "no action needed: the base model does not know these texts, so it serves as it is; the report says why"
_STYLES = {"info": "", "warning": "yellow", "error": "red"}


def watch(
    client: ApiClient,
    job_id: str,
    console: Console,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> JobView:
    """Print a job's events as they come, under a bar of its present stage, and return the job once it has ended.

    A job that needed no action is said to have needed none. One runs for hours and an API restarts in between, so a
    call without an answer is repeated for a minute.

    Raises:
        UnansweredError: there was no answer for a minute.
        CommandError: the API refused.
    """

    def ask_until(ask: Callable[[], T]) -> T:
        return answered(ask, console, now=now, sleep=sleep)

    columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    seen = 0
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("queued", total=None)
        stage: str | None = None
        while True:
            job = ask_until(partial(client.job, job_id))
            # After the job, so that the events of its end are not missed.
            while events := ask_until(partial(client.events, job_id, after_seq=seen)):
                for event in events:
                    console.print(_line(event), style=_STYLES[event.level], highlight=False, markup=False)
                seen = events[-1].seq
            if job.is_terminal:
                if job.needed_no_action:
                    console.print(_NO_ACTION)
                return job
            if job.stage != stage:
                stage = job.stage
                bars.reset(bar)
            bars.update(
                bar,
                description=job.stage or job.status,
                completed=job.progress.step,
                total=job.progress.total_steps or None,
            )
            sleep(_LOOK_EVERY_SECONDS)


def answered(ask: Callable[[], T], console: Console, *, now: Callable[[], float], sleep: Callable[[float], None]) -> T:
    """Return the first answer. UnansweredError when there was none until patience ran out."""
    first_asked = now()
    has_told = False
    while True:
        try:
            return ask()
        except UnansweredError as away:
            if now() - first_asked >= _PATIENCE_SECONDS:
                raise
            if not has_told:
                console.print(f"{away}; asking again for {_PATIENCE_SECONDS:.0f} s", style="yellow", markup=False)
                has_told = True
            sleep(_ASK_AGAIN_EVERY_SECONDS)


def _line(event: EventView) -> str:
    numbers = "  ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in event.data.items()
    )
    return f"{event.created_at[11:19]}  {event.type.removeprefix('job.'):<16} {event.message}  {numbers}".rstrip()
