import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.arguments import Key, Url
from cli.client import ApiClient, ProbeResultView, ProbeView, open_client
from cli.errors import CommandError, OutcomeUnknownError
from cli.items import read_items, without_absent
from cli.watch import answered

_LOOK_EVERY_SECONDS = 0.5
_ANSWERS = {True: "yes", False: "no", None: "?"}


def probe(
    items: Annotated[Path, typer.Argument(help="JSON lines of items to ask about.")],
    base_model: Annotated[str, typer.Option()],
    job: Annotated[str | None, typer.Option(help="A succeeded job whose adapter is put on.")] = None,
    policy: Annotated[str | None, typer.Option(help="Whose limits; `lethe policies` shows them.")] = None,
    external_id: Annotated[str | None, typer.Option(help="Your own name for this probe.")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Ask whether texts are memorised, wait, and print the answer for each item by its id.

    Exit code: 0, there is an answer; 1, the probe was refused, failed or was cancelled; 3, how it ended is not known.
    """
    body: dict[str, object] = {"base_model": base_model, "items": without_absent(read_items(items))}
    if job is not None:
        body["job_id"] = job
    if policy is not None:
        body["policy"] = policy
    if external_id is not None:
        body["external_id"] = external_id
    console = Console()
    client = open_client(url=url, key=key)
    probe_id = client.submit_probe(body).id
    console.print(probe_id, highlight=False)
    try:
        ended = wait_for_probe(client, probe_id, console)
    except CommandError as lost:
        raise OutcomeUnknownError(str(lost)) from lost
    if ended.result is None:
        reason = f"{ended.error.code}: {ended.error.message}" if ended.error else "it has no result"
        console.print(f"{ended.status}: {reason}", style="red", markup=False, highlight=False)
        sys.exit(1)
    show(ended.result, console)


def wait_for_probe(
    client: ApiClient,
    probe_id: str,
    console: Console,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ProbeView:
    """Return the probe once it has ended; a call without an answer is repeated for a minute.

    Raises:
        UnansweredError: there was no answer for a minute.
        CommandError: the API refused.
    """
    with console.status("waiting for a worker") as line:
        while True:
            present = answered(partial(client.probe, probe_id), console, now=now, sleep=sleep)
            if present.is_terminal:
                return present
            line.update(present.stage or present.status)
            sleep(_LOOK_EVERY_SECONDS)


def show(result: ProbeResultView, console: Console) -> None:
    """Print a table of the items by id, the limits, the totals, and what the result cannot tell."""
    names = list(dict.fromkeys(name for item in result.items for name in item.metrics))
    table = Table("item", "memorised", *(name.replace("_", " ") for name in names))
    for item in result.items:
        values = (f"{item.metrics[name]:.3f}" if name in item.metrics else "" for name in names)
        table.add_row(item.id, _ANSWERS[item.memorised], *values)
    console.print(table)
    totals = result.totals
    chance = "" if totals.by_chance is None else f"; of texts never seen, up to {totals.by_chance} may be by chance"
    console.print(f"{totals.memorised} of {totals.num_items} memorised{chance}", highlight=False)
    for limit in result.thresholds.limits:
        name = limit.metric.replace("_", " ")
        console.print(f"limit of {name}: {limit.at_most:.3f}, from the {limit.source}", highlight=False)
    for caveat in result.caveats:
        console.print(caveat, style="yellow", markup=False, highlight=False)
