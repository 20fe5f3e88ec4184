"""Where the time and the memory of a job go, as ratios inside one run.

python -m bench.performance [--out docs/results/performance.md] [--parts NAME ...] [--data DIR] [--rows 96]
    [--hidden 512] [--layers 4] [--repeats 5] [--threads N]
DIR holds the TOFU files, which the project does not ship; without it the parts that are about TOFU rows are not
measured, and the page says so.
"""

import argparse
import platform
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from bench.performance import estimates, extraction, fisher, http, losses, overhead, training
from bench.performance.page import Run, page
from bench.performance.row import Row
from bench.performance.rows_of_tofu import Shape, tofu_rows
from bench.tofu.data import TofuError
from bench.tofu.runs import code_version

HEADINGS = {
    "training": "Training",
    "fisher": "Fisher information",
    "losses": "Losses over a large vocabulary",
    "extraction": "Measuring",
    "overhead": "The service around a job",
    "estimates": "What a job was estimated to take",
    "http": "The API",
}
NEEDS_TOFU = ("training", "fisher")


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    out: Path | None
    parts: list[str]
    data: Path | None
    rows: int
    hidden: int
    layers: int
    repeats: int
    threads: int


def main(given: Sequence[str] | None = None) -> None:
    """Measure the parts and print the page, or write it."""
    words = sys.argv[1:] if given is None else list(given)
    arguments = _parse(words)
    torch.set_num_threads(arguments.threads)
    commit = code_version()
    parts, left_out = _measured(arguments)
    run = Run(shlex.join(["python", "-m", "bench.performance", *words]), commit, _machine(arguments.threads))
    text = page(run, parts, left_out=left_out)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text, encoding="utf-8")


def _measured(arguments: Arguments) -> tuple[dict[str, list[Row]], dict[str, str]]:
    """Return the rows of each part by heading, and why other parts have none."""
    found: dict[str, list[Row]] = {}
    left_out = {HEADINGS[name]: "not asked for" for name in HEADINGS if name not in arguments.parts}
    for name in arguments.parts:
        if name in NEEDS_TOFU and arguments.data is None:
            left_out[HEADINGS[name]] = "it is about TOFU rows, and no directory of them was given"
            continue
        print(f"measuring: {HEADINGS[name]}", file=sys.stderr, flush=True)
        found[HEADINGS[name]] = _part(name, arguments)()
    return found, left_out


def _part(name: str, arguments: Arguments) -> Callable[[], list[Row]]:
    repeats = arguments.repeats
    match name:
        case "training" | "fisher":
            shape = Shape(hidden=arguments.hidden, layers=arguments.layers)
            measure = training.rows if name == "training" else fisher.rows
            return lambda: measure(tofu_rows(_given(arguments.data), count=arguments.rows), shape, repeats=repeats)
        case "losses":
            return partial(losses.rows, losses.Sizes(), repeats=repeats)
        case "extraction":
            return partial(extraction.rows, extraction.Sizes(), repeats=repeats)
        case "estimates":
            return partial(estimates.rows, repeats=repeats)
        case "http":
            return partial(http.rows, repeats=repeats)
        case _:
            return partial(overhead.rows, repeats=repeats)


def _given(data: Path | None) -> Path:
    if data is None:
        raise TofuError("DATA must be a directory with the files of TOFU")
    return data


def _machine(threads: int) -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{threads} threads of a CPU ({platform.machine()})"


def _parse(words: Sequence[str]) -> Arguments:
    parser = argparse.ArgumentParser(
        prog="bench.performance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--parts", nargs="+", choices=list(HEADINGS), default=list(HEADINGS))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rows", type=int, default=96, help="TOFU rows of each set")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return Arguments(**vars(parser.parse_args(words)))


if __name__ == "__main__":
    main()
