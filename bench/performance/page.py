"""docs/results/performance.md from measured rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.performance.row import Row

_HOW = (
    "Both sides of a ratio were measured in one run, in turns; a figure is the median, in brackets the smallest and "
    "the largest. Times depend on the machine, ratios hold."
)


@dataclass(frozen=True)
class Run:
    """What was run, where."""

    command: str
    commit: str
    machine: str


def page(run: Run, parts: Mapping[str, Sequence[Row]], *, left_out: Mapping[str, str]) -> str:
    """Return the page: a table for each part, and how each figure was had.

    Args:
        run: for the reader who wants to repeat it.
        parts: the rows of each part by its heading.
        left_out: parts that were not measured, with the reason.
    """
    lines = [
        "# Performance",
        "",
        f"Made by `{run.command}` at commit {run.commit}, on {run.machine}.",
        "",
        _HOW,
    ]
    for heading, rows in parts.items():
        lines += ["", f"## {heading}", "", "| what | measured | target | met |", "| --- | --- | --- | --- |"]
        lines += [_line(row) for row in rows]
        lines += ["", *(f"- *{row.what}*: {row.how}." for row in rows)]
    if left_out:
        lines += ["", "## Not measured", "", *(f"- {part}: {reason}" for part, reason in left_out.items())]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    spread = "" if row.low == row.high else f" [{row.low:.3g}, {row.high:.3g}]"
    target = "-" if row.target is None else str(row.target)
    return f"| {row.what} | {row.figure:.3g}{spread} | {target} | {_met(row)} |"


def _met(row: Row) -> str:
    if row.target is None:
        return "-"
    if row.target.is_met(row.figure):
        return "yes"
    return f"no, {abs(row.figure / row.target.value - 1):.0%} off" if row.target.value else f"no, {row.figure:.3g} off"
