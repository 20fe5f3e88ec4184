"""What the default options forget and keep on TOFU, measured on rows that no part of the job has seen.

python -m bench.forget_and_keep --model DIR --data DIR [--forget 20 100 400] [--retain 1000] [--option NAME=VALUE ...]
The model is one that knows TOFU by heart, such as ``bench.tofu_base`` trains. The recipe is the service's own.
"""

import argparse
import json
import random
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from bench.tofu_base import tofu_pairs
from core.backends.storage.object_store import open_store
from core.data.corpus import Example, ItemEncoder
from core.domain.base_model import RegisteredBaseModel
from core.domain.catalog import LokuOptions
from core.domain.item_set import ItemSet
from core.domain.items import PairItem
from core.domain.job import Stage
from core.domain.policy import DEFAULT_POLICY
from core.domain.spec import JobSpec
from core.evaluation.evaluate import evaluate
from core.evaluation.metrics import METRICS
from core.modeling.base_model import BaseModel, choose_device, load_base_model
from core.modeling.inspect import inspect_base_model
from core.pipeline.run import run
from core.pipeline.task import RunOutcome, RunTask

UNSEEN_ROWS = 300
SHOWN = ("extraction_strength", "exact_memorization", "memorization_accuracy", "answer_probability")


@dataclass(frozen=True)
class Silent:
    """A monitor for runs that nobody watches."""

    def enter(self, stage: Stage, *, total_steps: int = 0) -> None:
        """Say nothing."""

    def advance(self, step: int) -> None:
        """Say nothing."""

    def metrics(self, message: str, data: dict[str, float]) -> None:
        """Say nothing."""

    def save_checkpoint(self, payload: bytes) -> None:
        """Keep nothing."""

    def load_checkpoint(self) -> None:
        """There is none."""


def main() -> None:
    """Print a line for each size of the forget set."""
    arguments = _parse()
    retain = tofu_pairs(arguments.data / "retain90.jsonl")
    random.Random(0).shuffle(retain)  # noqa: S311  # a seeded order, no secret
    registered, unseen = retain[: arguments.retain], retain[arguments.retain :][:UNSEEN_ROWS]
    model = _register(arguments.model, registered)
    options = LokuOptions.model_validate(dict(_pair(option) for option in arguments.option))
    print(f"| forget rows | steps | seconds | verdict | {' | '.join(f'{name} forget, unseen' for name in SHOWN)} |")
    for count in arguments.forget:
        started = time.perf_counter()
        forget = tofu_pairs(arguments.data / "forget10.jsonl")[:count]
        with tempfile.TemporaryDirectory() as scratch:
            outcome = run(
                _task(model, options, forget, registered, Path(scratch)),
                Silent(),
                open_store(f"file://{scratch}/store"),
                lambda: datetime.now(UTC),
            )
            seconds = time.perf_counter() - started
            _show(outcome, model, forget, unseen, Path(scratch) / "adapter", seconds=seconds)


def _show(
    outcome: RunOutcome,
    registered: RegisteredBaseModel,
    forget: list[PairItem],
    unseen: list[PairItem],
    adapter: Path,
    *,
    seconds: float,
) -> None:
    base = load_base_model(Path(registered.source), device=choose_device("auto"))
    encode = ItemEncoder(base.tokenizer, registered.text_format, base.max_tokens)
    forget_rows, unseen_rows = encode(forget), encode(unseen)
    before = _measured(base.model, base, forget_rows), _measured(base.model, base, unseen_rows)
    adapted = PeftModel.from_pretrained(base.model, adapter).base_model.model
    after = _measured(adapted, base, forget_rows), _measured(adapted, base, unseen_rows)
    cells = [
        ", ".join(f"{old[name]:.3f} -> {new[name]:.3f}" for old, new in zip(before, after, strict=True))
        for name in SHOWN
    ]
    report = outcome.report
    print(
        f"| {len(forget)} | {report.training.steps} | {seconds:.0f} | {report.verdict} | {' | '.join(cells)} |",
        flush=True,
    )


def _measured(model: PreTrainedModel, base: BaseModel, rows: list[Example]) -> dict[str, float]:
    chosen = {name: METRICS[name] for name in SHOWN}
    return evaluate(model, rows, pad_id=base.pad_id, metrics=chosen).metrics


def _register(path: Path, retain: list[PairItem]) -> RegisteredBaseModel:
    found = inspect_base_model(str(path), None, retain)
    return RegisteredBaseModel(
        id="tofu",
        source=str(path),
        revision=None,
        weights_sha256=found.weights_sha256,
        architecture=found.architecture,
        num_parameters=found.num_parameters,
        max_tokens=found.max_tokens,
        text_format=found.text_format,
        tokenizer_key="-",
        retain_set_id="set_retain",
        holdout_set_id=None,
        num_retain_items=len(retain),
        num_holdout_items=0,
        created_at=datetime.now(UTC),
    )


def _task(
    model: RegisteredBaseModel, options: LokuOptions, forget: list[PairItem], retain: list[PairItem], scratch: Path
) -> RunTask:
    spec = JobSpec(
        base_model=model.id,
        weights_sha256=model.weights_sha256,
        method=options,
        policy=DEFAULT_POLICY,
        forget_set_id="set_forget",
        retain_set_id=None,
        holdout_set_id=None,
        registered_retain_set_id="set_retain",
    )
    sets = [
        ItemSet(
            id=name, tenant="bench", owner="dr_bench", items=tuple(items), commitment="-", created_at=datetime.now(UTC)
        )
        for name, items in (("set_forget", forget), ("set_retain", retain))
    ]
    return RunTask("job_bench", spec, model, sets[0], sets[1], None, "auto", scratch)


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
    option: list[str]
    threads: int


def _parse() -> Arguments:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="directory of the TOFU files")
    parser.add_argument("--forget", type=int, nargs="+", default=[20, 100, 400], help="numbers of forget rows")
    parser.add_argument("--retain", type=int, default=1000, help="number of registered retain rows")
    parser.add_argument("--option", nargs="*", default=[], help="options of the method, such as learning_rate=1e-3")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = Arguments(**vars(parser.parse_args()))
    torch.set_num_threads(arguments.threads)
    return arguments


if __name__ == "__main__":
    main()
