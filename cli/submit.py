import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.arguments import Key, Url
from cli.client import EstimateView, RangeView, open_client
from cli.errors import CommandError
from cli.items import read_items, without_absent

_MIB = 2**20


def submit(  # noqa: PLR0913  # a command's options are its arguments
    forget: Annotated[Path, typer.Argument(help="JSON lines of items to forget.")],
    base_model: Annotated[str, typer.Option()],
    retain: Annotated[Path | None, typer.Option(help="JSON lines of items to keep.")] = None,
    method: Annotated[str | None, typer.Option(help='Method and options as JSON: {"name": "loku", "r": 32}')] = None,
    policy: Annotated[str | None, typer.Option(help="fast, standard or strict; `lethe policies` shows them.")] = None,
    external_id: Annotated[str | None, typer.Option(help="Your own name for this request.")] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and file nothing.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """File a deletion request and print its id and its job's."""
    body: dict[str, object] = {"base_model": base_model, "forget": without_absent(read_items(forget))}
    if retain is not None:
        body["retain"] = without_absent(read_items(retain))
    if method is not None:
        body["method"] = _json(method)
    if policy is not None:
        body["policy"] = policy
    if external_id is not None:
        body["external_id"] = external_id
    client = open_client(url=url, key=key)
    if dry_run:
        show(client.estimate(body), Console())
    else:
        submitted = client.submit(body)
        print(submitted.id, submitted.job_id)


def show(estimate: EstimateView, console: Console) -> None:
    """Print an estimate, what it was made from, and why the rest is not known."""
    table = Table("", "likely", "from", "to")
    table.add_row("duration", *_cells(estimate.duration_seconds, _seconds))
    for stage, seconds in estimate.stages.items():
        table.add_row(f"  {stage}", _seconds(seconds), "", "")
    table.add_row("start", *_cells(estimate.start_seconds, _seconds))
    table.add_row("queue wait", "?" if estimate.queue_wait_seconds is None else _seconds(estimate.queue_wait_seconds))
    table.add_row("peak memory", *_cells(estimate.peak_memory_bytes, _mebibytes))
    if estimate.device_memory_bytes is not None:
        table.add_row("  of", _mebibytes(estimate.device_memory_bytes))
    if estimate.steps is not None:
        table.add_row("steps", "", "", f"{estimate.steps}")
    console.print(table)
    if basis := estimate.based_on:
        by = " by this method and policy" if basis.same_method_and_policy else ""
        on = "this base model" if basis.same_base_model else "other base models"
        console.print(f"from {basis.measurements} jobs{by} on {on}, on {basis.device}", markup=False, highlight=False)
    for field, reason in estimate.absent.items():
        console.print(f"{field.replace('_', ' ')}: {reason}", style="yellow", markup=False, highlight=False)


def _cells(found: RangeView | None, written: Callable[[float], str]) -> tuple[str, str, str]:
    if found is None:
        return ("?", "", "")
    likely, low, high = (None if value is None else written(value) for value in (found.likely, found.low, found.high))
    return (likely or "?", low or "?", high or "?")


def _seconds(seconds: float) -> str:
    return f"{seconds:,.1f} s"


def _mebibytes(num_bytes: float) -> str:
    return f"{num_bytes / _MIB:,.0f} MiB"


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as malformed:
        raise CommandError("--method is no JSON") from malformed
