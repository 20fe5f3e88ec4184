"""Every method on the demo's base model with the same budget, in one table.

python -m bench.methods [--out PAGE] [--seeds 42] [--max-steps 120] [--only NAME ...] [--rows FILE ...]
Each run is a process of its own, so that its peak memory is its own. People of the demo who are in no part of the job
say what was kept. Everything else is each method's default. Each row is printed to stderr as JSON once it is there, and
files of such rows stand for runs that need not be made again.
"""

import argparse
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from pydantic import BaseModel

from bench.job import Texts, run_job
from cli.demo.base_model import ensure_base_model
from cli.demo.options import DemoOptions
from cli.demo.people import Person, questions
from cli.demo.service import items_of
from core.domain.catalog import METHOD_OPTIONS
from core.domain.errors import JobFailure
from core.domain.items import FactItem
from core.domain.options import TrainedOptions
from core.domain.report import Verdict

# In the directory of `make demo`, so that whoever has run it need not train again.
_CACHE = Path(".lethe/demo/base-models")
MEASURED = {"ES": "extraction_strength", "MA": "memorization_accuracy"}
SETS = ("forget", "retain", "unseen")
COLUMNS = [f"{name} {short}" for name in SETS for short in MEASURED]
FRONT = ("forget ES", "unseen MA")
_MEGABYTE = 1 << 20
_STATUS = Path("/proc/self/status")


class Row(BaseModel):
    """One run."""

    method: str
    seed: int
    commit: str = ""
    max_steps: int = 120
    outcome: str  # the verdict, or the code of the failure
    before: dict[str, float] = {}  # set and metric, as in COLUMNS, of the base model
    after: dict[str, float] = {}
    steps: int | None = None
    seconds: float | None = None
    train_seconds: float | None = None
    peak_mb: float | None = None
    rank: int | None = None


def main() -> None:
    """Run what was asked for, and write the table; with --one, run one method and print its row as JSON."""
    arguments = _parse()
    if arguments.one:
        print(_run(arguments.one, seed=arguments.seeds[0], max_steps=arguments.max_steps).model_dump_json())
        return
    ensure_base_model(_CACHE, DemoOptions())  # once, before anything is measured
    rows = _known_rows(arguments)
    known = {(row.method, row.seed) for row in rows}
    asked = [(name, seed) for name in arguments.only for seed in arguments.seeds]
    rows += [_run_apart(name, seed, arguments) for name, seed in asked if (name, seed) not in known]
    page = _page(rows, arguments)
    print(page)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(page)


def _known_rows(arguments: "Arguments") -> list[Row]:
    lines = [line for path in arguments.rows for line in path.read_text().splitlines() if line.startswith("{")]
    rows = [Row.model_validate_json(line) for line in lines]
    return [row for row in rows if row.method in arguments.only and row.max_steps == arguments.max_steps]


def _run_apart(name: str, seed: int, arguments: "Arguments") -> Row:
    command = [sys.executable, "-m", "bench.methods", "--one", name, "--seeds", str(seed)]
    ran = subprocess.run(  # noqa: S603  # our own module
        [*command, "--max-steps", str(arguments.max_steps)], capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        raise RuntimeError(f"{name} ended with {ran.returncode}:\n{ran.stderr[-2000:]}")
    row = Row.model_validate_json(ran.stdout.splitlines()[-1])
    print(row.model_dump_json(), file=sys.stderr, flush=True)
    return row


def _run(name: str, *, seed: int, max_steps: int) -> Row:
    torch.set_num_threads(1)  # the model is so small that more would wait for each other
    demo = DemoOptions()
    people = demo.population()
    given: dict[str, object] = {"seed": seed}
    options = METHOD_OPTIONS[name]
    if issubclass(options, TrainedOptions):
        steps = max(1, max_steps // options.model_validate(given).batches_a_step)
        given |= {"max_steps": steps, "self_generated": True}  # the demo has no general corpus
    chosen = options.model_validate(given)
    texts = Texts(
        forget=_facts(people.forget),
        retain=items_of(people.retain),
        unseen=items_of(people.unseen),
        holdout=items_of(people.holdout),
    )
    try:
        measured = run_job(ensure_base_model(_CACHE, demo), texts, chosen, metrics=list(MEASURED.values()))
    except JobFailure as failure:
        return Row(method=name, seed=seed, commit=_commit(), max_steps=max_steps, outcome=failure.code)
    retain = measured.report.retain.metrics
    kept = ({name: retain[name].before for name in retain}, {name: retain[name].after for name in retain})
    before, after = zip(measured.forget, kept, measured.unseen, strict=True)
    return Row(
        method=name,
        seed=seed,
        commit=_commit(),
        max_steps=max_steps,
        outcome=measured.report.verdict,
        before=_columns(before),
        after=_columns(after),
        steps=measured.report.training.steps if measured.report.training else None,
        seconds=measured.seconds,
        train_seconds=measured.report.timings_seconds["train"],
        peak_mb=_peak_mb(),
        rank=measured.report.adapter_rank,
    )


def _columns(sets: Sequence[dict[str, float]]) -> dict[str, float]:
    return {
        f"{name} {short}": metrics[metric]
        for name, metrics in zip(SETS, sets, strict=True)
        for short, metric in MEASURED.items()
    }


def _facts(people: Sequence[Person]) -> list[FactItem]:
    """Return the people's questions with their subject, which every method can take."""
    return [
        FactItem(id=row.id, subject=person.name, prompt=row.prompt, completion=row.completion)
        for person in people
        for row in questions(person)
    ]


def _peak_mb() -> float:
    """Return the most memory that this process held: of the accelerator if there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / _MEGABYTE
    if _STATUS.exists():  # Linux: unlike ru_maxrss, VmHWM does not start at the peak of the parent process
        peak = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEGABYTE


def _page(rows: Sequence[Row], arguments: "Arguments") -> str:
    demo = DemoOptions()
    by_method = {name: [row for row in rows if row.method == name] for name in arguments.only}
    front = _front(by_method)
    about = (
        f"Each run forgets {len(_facts(demo.population().forget))} pairs about {demo.num_forget} people in "
        f"at most {arguments.max_steps} steps of one batch of each set (a method whose step goes through several "
        "batches has as many fewer); everything else is the method's default. Extraction strength (ES) and "
        "memorization accuracy (MA) of the forgotten pairs, of the retain pairs that the job measures and does not "
        f"train on, and of {demo.num_unseen} people in no part of the job, whose texts the base model knows as well. "
        "Means over the seeds that are named; forget ES and unseen MA with their range. "
        "*: on the Pareto front of forget ES and unseen MA, among those that forgot something."
    )
    made = (
        f"Made by `python -m bench.methods --max-steps {arguments.max_steps}` with these methods and seeds, at commit "
        f"{', '.join(dict.fromkeys(row.commit for row in rows))}, on {_device()}."
    )
    lines = [
        "# Methods on the demo's base model",
        "",
        made,
        "",
        about,
        "",
        f"| method | seeds | outcome | {' | '.join(COLUMNS)} | steps | train s | job s | peak MB | rank |",
        f"|---|---|---|{'---|' * (len(COLUMNS) + 5)}",
        _before(rows),
    ]
    lines += [_line(name, found, on_front=name in front) for name, found in by_method.items()]
    return "\n".join([*lines, ""])


def _before(rows: Sequence[Row]) -> str:
    """Return the line of the base model: the same in every run that measured it."""
    found = next((row.before for row in rows if row.before), {})
    cells = [f"{found[column]:.3f}" if column in found else "not measured" for column in COLUMNS]
    return f"| (before) | | | {' | '.join(cells)} | | | | | |"


def _line(name: str, rows: Sequence[Row], *, on_front: bool) -> str:
    cells = [
        f"{name}{' *' if on_front else ''}",
        ", ".join(str(row.seed) for row in rows),
        ", ".join(dict.fromkeys(row.outcome for row in rows)),
        *(_cell([row.after.get(column) for row in rows], ranged=column in FRONT) for column in COLUMNS),
        _mean([row.steps for row in rows], 0),
        _mean([row.train_seconds for row in rows], 1),
        _mean([row.seconds for row in rows], 1),
        _mean([row.peak_mb for row in rows], 0),
        _mean([row.rank for row in rows], 0),
    ]
    return f"| {' | '.join(cells)} |"


def _cell(values: Sequence[float | None], *, ranged: bool) -> str:
    there = [value for value in values if value is not None]
    spread = f" ({min(there):.3f} to {max(there):.3f})" if ranged and len(there) > 1 else ""
    return _mean(values, 3) + spread


def _mean(values: Sequence[float | None], digits: int) -> str:
    there = [value for value in values if value is not None]
    return f"{fmean(there):.{digits}f}" if there else "-"


def _front(by_method: dict[str, list[Row]]) -> set[str]:
    """Return the methods that forget something and that no other one beats in both: less extracted, more kept."""
    points = {}
    for name, rows in by_method.items():
        if any(row.outcome == Verdict.NOT_FORGOTTEN for row in rows):
            continue  # who does nothing keeps everything
        whole = [(row.after[FRONT[0]], row.after[FRONT[1]]) for row in rows if row.after]
        if len(whole) == len(rows) and rows:
            points[name] = (fmean(es for es, _ in whole), fmean(ma for _, ma in whole))
    return {
        name
        for name, (es, ma) in points.items()
        if not any(
            other_es <= es and other_ma >= ma and (other_es, other_ma) != (es, ma)
            for other_es, other_ma in points.values()
        )
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return ran.stdout.strip() or "unknown"


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "one thread of a CPU"


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    out: Path | None
    seeds: list[int]
    max_steps: int
    only: list[str]
    one: str | None
    rows: list[Path]


def _parse() -> Arguments:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="where the table goes besides the screen")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--max-steps", type=int, default=120)
    parser.add_argument("--only", nargs="+", choices=METHOD_OPTIONS, default=list(METHOD_OPTIONS))
    parser.add_argument("--rows", type=Path, nargs="+", default=[], help="files of rows that are there already")
    parser.add_argument("--one", choices=METHOD_OPTIONS, help=argparse.SUPPRESS)
    return Arguments(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
