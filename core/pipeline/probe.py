"""The recipe of a probe: whether texts are memorised at all, read from top to bottom."""

import hashlib
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from core.data.corpus import ItemEncoder
from core.domain.base_model import RegisteredBaseModel
from core.domain.errors import OutOfMemoryError
from core.domain.item_set import ItemSet
from core.domain.items import normalized
from core.domain.job import Stage
from core.domain.policy import POLICIES
from core.domain.probe import ProbedItem, ProbeLimit, ProbeResult, ProbeThresholds, ProbeTotals
from core.domain.report import Thresholds
from core.domain.spec import ProbeSpec
from core.evaluation.evaluate import SetScores, evaluate
from core.evaluation.item_limits import over_by_chance
from core.evaluation.memorised import is_memorised
from core.evaluation.metrics import METRICS
from core.evaluation.thresholds import choose_thresholds
from core.modeling.base_model import BaseModel, DeviceChoice, LoadBaseModel, choose_device, load_base_model, locate
from core.packaging.put_on import put_on
from core.pipeline.stopwatch import Stopwatch
from core.ports import Clock, JobMonitor

SHOWN = ("extraction_strength", "exact_memorization", "memorization_accuracy", "answer_probability")


@dataclass(frozen=True)
class ProbeTask:
    """Everything one probe needs; nothing of it is read from anywhere else."""

    probe_id: str
    spec: ProbeSpec
    base_model: RegisteredBaseModel
    items: ItemSet
    holdout: ItemSet | None
    adapter_zip: bytes | None
    device: DeviceChoice
    work_dir: Path  # an empty directory; it stays on this machine


def probe(task: ProbeTask, monitor: JobMonitor, clock: Clock, load: LoadBaseModel = load_base_model) -> ProbeResult:
    """Return what the base model, with the adapter on it where there is one, knows of each item.

    Afterwards the base model is what it was.

    Raises:
        JobFailure: the probe cannot succeed; one of its subclasses says why.
        LeaseLostError: the attempt no longer owns the probe.
    """
    try:
        return _probe(task, monitor, clock, load)
    except torch.OutOfMemoryError as full:
        raise OutOfMemoryError("the device has too little memory: split long items") from full


def _probe(task: ProbeTask, monitor: JobMonitor, clock: Clock, load: LoadBaseModel) -> ProbeResult:
    policy = POLICIES[task.spec.policy]
    metrics = {name: METRICS[name] for name in dict.fromkeys([*SHOWN, *(gate.metric for gate in policy.forget)])}
    watch = Stopwatch(monitor)

    with watch.stage(Stage.PREPARE):
        path = locate(task.base_model.source, task.base_model.revision)
        base = load(path, device=choose_device(task.device), expected_sha256=task.spec.weights_sha256)
        encode = ItemEncoder(base.tokenizer, task.base_model.text_format, base.max_tokens)
        examples = encode(task.items.items)
        probed = {normalized(item) for item in task.items.items}
        unseen = [item for item in task.holdout.items if normalized(item) not in probed] if task.holdout else []

    with watch.stage(Stage.BASELINE):
        # Under the base model alone: what it makes of text that it never saw is the measure, with an adapter too.
        holdout = evaluate(base.model, encode(unseen), pad_id=base.pad_id, metrics=metrics) if unseen else None
        thresholds = choose_thresholds(policy, holdout)

    with watch.stage(Stage.EVALUATE), _judged(task, base) as model:
        scores = evaluate(model, examples, pad_id=base.pad_id, metrics=metrics)

    return _result(task, base, scores, _limits(thresholds, task, len(unseen)), thresholds, watch, clock)


def _judged(task: ProbeTask, base: BaseModel) -> AbstractContextManager[PreTrainedModel]:
    """Return the model that the probe asks about."""
    if task.adapter_zip is None:
        return nullcontext(base.model)
    return put_on(task.adapter_zip, base, task.work_dir / "adapter")


def _result(
    task: ProbeTask,
    base: BaseModel,
    scores: SetScores,
    limits: ProbeThresholds,
    thresholds: Thresholds,
    watch: Stopwatch,
    clock: Clock,
) -> ProbeResult:
    items = [
        ProbedItem(id=item.id, memorised=is_memorised(item.values, thresholds), metrics=item.values, absent=item.absent)
        for item in scores.items
    ]
    return ProbeResult(
        probe_id=task.probe_id,
        created_at=clock(),
        base_model=task.base_model.id,
        weights_sha256=task.spec.weights_sha256,
        job_id=task.spec.job_id,
        adapter_sha256=None if task.adapter_zip is None else hashlib.sha256(task.adapter_zip).hexdigest(),
        items=items,
        totals=_totals(items, limits),
        thresholds=limits,
        caveats=_caveats(limits),
        device=base.device.type,
        dtype=str(base.model.dtype).removeprefix("torch."),
        timings_seconds=dict(watch.seconds),
    )


def _limits(thresholds: Thresholds, task: ProbeTask, num_unseen: int) -> ProbeThresholds:
    return ProbeThresholds(
        policy=thresholds.policy,
        source=thresholds.source,
        limits=[
            ProbeLimit(
                metric=gate.metric,
                at_most=gate.item_at_most,
                source="policy" if gate.holdout_mean is None else "holdout",
                holdout_mean=gate.holdout_mean,
                holdout_ci95=gate.holdout_ci95,
            )
            for gate in thresholds.forget
        ],
        num_holdout_items=num_unseen,
        excluded_holdout_items=len(task.holdout.items) - num_unseen if task.holdout else 0,
        holdout_refused=thresholds.holdout_refused,
        chance_over=thresholds.chance_over,
    )


def _totals(items: list[ProbedItem], limits: ProbeThresholds) -> ProbeTotals:
    counts = Counter(item.memorised for item in items)
    return ProbeTotals(
        num_items=len(items),
        memorised=counts[True],
        not_memorised=counts[False],
        undecided=counts[None],
        by_chance=None if limits.chance_over is None else over_by_chance(len(items), share=limits.chance_over),
    )


def _caveats(limits: ProbeThresholds) -> list[str]:
    """Return what the limits cannot tell."""
    fixed = [limit.metric for limit in limits.limits if limit.source == "policy"]
    if not fixed:
        return []
    which = "a holdout set" if limits.source == "policy" else f"a holdout set that is of use for {' and '.join(fixed)}"
    return [
        f"Without {which}, a memorised text cannot be told from one that guesses itself: the limits are the policy's."
    ]
