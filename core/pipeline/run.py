"""The recipe: one job from its texts to its package, read from top to bottom."""

from pathlib import Path

import torch

from core.domain.catalog import LawOptions, MethodOptions
from core.domain.errors import OutOfMemoryError
from core.domain.job import Stage
from core.domain.options import TrainedOptions
from core.domain.policy import POLICIES
from core.domain.report import EvaluationReport
from core.evaluation.attack_gates import held_to
from core.evaluation.thresholds import bounded, choose_thresholds
from core.evaluation.untouched import judge_untouched
from core.evaluation.verdict import judge
from core.modeling.base_model import LoadBaseModel, choose_device, load_base_model, locate
from core.packaging.report_page import Drawings, drawings_of, render
from core.packaging.verify import Probe
from core.pipeline.attack import attack_scene, made_attacks, plan_attacks
from core.pipeline.edit import edit_adapter
from core.pipeline.learn import Learned, Lesson, train_adapter
from core.pipeline.measure import Measure, compared
from core.pipeline.package import build_package
from core.pipeline.reference import measured_reference
from core.pipeline.report import Facts, assemble, dispositions
from core.pipeline.self_generated import self_generated
from core.pipeline.sets import encode_sets, encoder_of
from core.pipeline.stopwatch import Stopwatch
from core.pipeline.task import RunOutcome, RunTask
from core.pipeline.trained_tokens import trained_tokens
from core.ports import Cache, Clock, JobMonitor, TextCache


def run(
    task: RunTask,
    monitor: JobMonitor,
    cache: Cache,
    items: TextCache,
    clock: Clock,
    load: LoadBaseModel = load_base_model,
) -> RunOutcome:
    """Return the package, the report and the dispositions of one job. Afterwards the base model is what it was.

    Raises:
        JobFailure: the job cannot succeed; one of its subclasses says why.
        LeaseLostError: the attempt no longer owns the job.
    """
    try:
        return _run(task, monitor, cache, items, clock, load)
    except torch.OutOfMemoryError as full:
        raise OutOfMemoryError("the device has too little memory: lower batch_size or r, or split long items") from full


def _run(
    task: RunTask, monitor: JobMonitor, cache: Cache, items: TextCache, clock: Clock, load: LoadBaseModel
) -> RunOutcome:
    options, policy = task.spec.method, POLICIES[task.spec.policy]
    watch = Stopwatch(monitor)
    torch.manual_seed(options.seed)

    with watch.stage(Stage.PREPARE):
        path = locate(task.base_model.source, task.base_model.revision)
        base = load(path, device=choose_device(task.device), expected_sha256=task.spec.weights_sha256)
        sets = encode_sets(task, base, self_generated(task, base, items, clock))
        measure = Measure(policy, sets, encoder_of(task, base), options.seed, watch.step)

    with watch.stage(Stage.BASELINE, total_steps=measure.num_steps * (2 if task.base_model.reference else 1)):
        reference = measured_reference(task, base, measure)
        ideal = reference.measured if reference else None
        before = measure(base, ideal)
        thresholds = bounded(
            choose_thresholds(policy, before.holdout),
            policy,
            retain_rows_unseen=sets.measures_unseen,
            num_holdout_items=len(sets.holdout or ()),
        )
        untouched = compared(before, before, ideal)
        unneeded = judge_untouched(untouched.forget, untouched.holdout, thresholds, untouched.membership)

    if unneeded is not None:
        facts = Facts(unneeded, thresholds, untouched, watch.seconds)
        report = assemble(task, base, sets, facts, now=clock())
        return _outcome(None, report, drawings_of(report), watch)

    learned = _learn(Lesson(task, base, sets, before, thresholds), options, monitor, cache, watch)

    with watch.stage(Stage.EVALUATE, total_steps=measure.num_steps):
        after = measure(base, ideal)
        scene = attack_scene(task, base, learned.adapter, sets, reference)
        plan = plan_attacks(policy, scene, trained_tokens=trained_tokens(learned, options, sets))
        comparison = compared(before, after, ideal).without(plan.left_out)

    with watch.stage(Stage.ATTACK, total_steps=len(plan.attacks)):
        attacks = made_attacks(held_to(plan.attacks, thresholds), scene, watch.step)
        judgement = judge(
            comparison.forget,
            comparison.retain,
            thresholds,
            attacks,
            holdout=comparison.holdout,
            membership=comparison.membership,
        )

    with watch.stage(Stage.PACKAGE):
        facts = Facts(judgement, thresholds, comparison, watch.seconds, learned, attacks)
        report = assemble(task, base, sets, facts, now=clock())
        probe = Probe(before.probe_ids, trained_logits=after.probe_logits, base_logits=before.probe_logits)
        adapter_zip = build_package(task, base, learned.adapter, probe, report)
        drawings = drawings_of(report)
    learned.adapter.detach()
    return _outcome(adapter_zip, report, drawings, watch)


def _outcome(adapter_zip: Path | None, report: EvaluationReport, drawings: Drawings, watch: Stopwatch) -> RunOutcome:
    """Return what is delivered, with the times of all stages, which are known only now."""
    timed = report.model_copy(update={"timings_seconds": watch.seconds})
    return RunOutcome(adapter_zip, timed, render(timed, drawings), dispositions(timed))


def _learn(lesson: Lesson, options: MethodOptions, monitor: JobMonitor, cache: Cache, watch: Stopwatch) -> Learned:
    match options:
        case LawOptions():
            return edit_adapter(lesson, options, monitor, cache, watch)
        case TrainedOptions():
            return train_adapter(lesson, options, monitor, cache, watch)
