import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.client import ApiClient, EventView, JobView

_LOOK_EVERY_SECONDS = 0.5
_STYLES = {"info": "", "warning": "yellow", "error": "red"}


def watch(client: ApiClient, job_id: str, console: Console) -> JobView:
    """Print a job's events as they come, under a bar of its present stage, and return the job once it has ended."""
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    seen = 0
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("queued", total=None)
        stage: str | None = None
        while True:
            job = client.job(job_id)
            # After the job, so that the events of its end are not missed.
            while events := client.events(job_id, after_seq=seen):
                for event in events:
                    console.print(_line(event), style=_STYLES[event.level], highlight=False, markup=False)
                seen = events[-1].seq
            if job.is_terminal:
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
            time.sleep(_LOOK_EVERY_SECONDS)


def _line(event: EventView) -> str:
    numbers = "  ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in event.data.items()
    )
    return f"{event.created_at[11:19]}  {event.type.removeprefix('job.'):<16} {event.message}  {numbers}".rstrip()
