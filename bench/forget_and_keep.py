"""What the default options forget and keep on TOFU, measured on rows that no part of the job has seen.

python -m bench.forget_and_keep --model DIR --data DIR [--forget 20 100 400] [--retain 1000] [--rows-seed 0]
    [--option NAME=VALUE ...]
The model is one that knows TOFU by heart, such as ``bench.tofu_base`` trains. The recipe is the service's own.
"""

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.job import Measured, Texts, run_job
from bench.tofu_base import tofu_pairs
from core.domain.catalog import METHOD_OPTIONS

UNSEEN_ROWS = 300
SHOWN = ("extraction_strength", "exact_memorization", "memorization_accuracy", "answer_probability")


def main() -> None:
    """Print a line for each size of the forget set."""
    arguments = _parse()
    retain = tofu_pairs(arguments.data / "retain90.jsonl")
    random.Random(arguments.rows_seed).shuffle(retain)  # noqa: S311  # a seeded order, no secret
    registered, unseen = retain[: arguments.retain], retain[arguments.retain :][:UNSEEN_ROWS]
    options = METHOD_OPTIONS[arguments.method].model_validate(dict(_pair(option) for option in arguments.option))
    print(f"| forget rows | steps | seconds | verdict | {' | '.join(f'{name} forget, unseen' for name in SHOWN)} |")
    for count in arguments.forget:
        forget = tofu_pairs(arguments.data / "forget10.jsonl")[:count]
        _show(count, run_job(arguments.model, Texts(forget, registered, unseen), options, metrics=SHOWN))


def _show(count: int, measured: Measured) -> None:
    cells = [
        ", ".join(f"{before[name]:.3f} -> {after[name]:.3f}" for before, after in (measured.forget, measured.unseen))
        for name in SHOWN
    ]
    report = measured.report
    steps = report.training.steps if report.training else 0
    print(
        f"| {count} | {steps} | {measured.seconds:.0f} | {report.verdict} | {' | '.join(cells)} |",
        flush=True,
    )


def _pair(option: str) -> tuple[str, object]:
    name, _, value = option.partition("=")
    return name, json.loads(value)


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    model: Path
    data: Path
    forget: list[int]
    retain: int
    rows_seed: int
    method: str
    option: list[str]
    threads: int


def _parse() -> Arguments:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="directory of the TOFU files")
    parser.add_argument("--forget", type=int, nargs="+", default=[20, 100, 400], help="numbers of forget rows")
    parser.add_argument("--retain", type=int, default=1000, help="number of registered retain rows")
    parser.add_argument("--rows-seed", type=int, default=0, help="of the choice of registered and of unseen rows")
    parser.add_argument("--method", choices=METHOD_OPTIONS, default="loku")
    parser.add_argument("--option", nargs="*", default=[], help="options of the method, such as learning_rate=1e-3")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = Arguments(**vars(parser.parse_args()))
    torch.set_num_threads(arguments.threads)
    return arguments


if __name__ == "__main__":
    main()
