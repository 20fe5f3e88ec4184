from collections.abc import Callable

from torch import Tensor

from core.domain.catalog import LawOptions
from core.domain.errors import DivergedError
from core.domain.job import Stage
from core.domain.report import EditedLayerSummary, EditSummary, TrainingSummary
from core.modeling.adapter import Adapter, attach
from core.pipeline.learn import Learned, Lesson
from core.pipeline.retain_statistics import retain_moments
from core.pipeline.sets import encoder_of
from core.pipeline.stop import StopRule, watched_loss
from core.pipeline.stopwatch import Stopwatch
from core.ports import Cache, JobMonitor
from core.unlearning.law.contexts import write_contexts
from core.unlearning.law.down_projections import down_projections
from core.unlearning.law.facts import encode_facts
from core.unlearning.law.solve import LayerEdit, Washing, initial_edits, washed_edits
from core.unlearning.law.targets import fact_batches, wash_targets
from core.unlearning.training import StopCheck, is_destroyed

# Each is a stop check; the scale is found to a sixteenth of the edit.
_HALVINGS = 4


def edit_adapter(lesson: Lesson, options: LawOptions, monitor: JobMonitor, cache: Cache, watch: Stopwatch) -> Learned:
    """Return an adapter that was solved for.

    There is no checkpoint: an attempt that was interrupted starts over, for most of the time goes into the targets and
    the moments, and the moments are cached.
    """
    base, task = lesson.base, lesson.task

    with watch.stage(Stage.FISHER):
        layers = down_projections(base.model, options.layers)
        linears = {layer.name: layer.linear for layer in layers}
        moments, was_there = retain_moments(task, base, linears, lesson.sets, cache, at_most=options.moment_items)
        encode = encoder_of(task, base)
        facts = encode_facts(encode, task.forget.items, write_contexts(base, count=options.contexts))

    search = len(fact_batches(facts)) * options.target_steps
    with watch.stage(Stage.INITIALIZE, total_steps=search + len(layers)):
        washing = Washing(base, layers, facts, moments)
        targets = wash_targets(base, layers[-1].layer, facts, steps=options.target_steps, on_step=monitor.advance)
        initial = initial_edits(
            washing,
            targets,
            norm_limit=options.norm_limit,
            on_layer=lambda done: monitor.advance(search + done),
        )

    loss_before = watched_loss(base, lesson.sets.retain_measured)
    with watch.stage(Stage.TRAIN, total_steps=len(layers)):
        edits = washed_edits(
            washing,
            initial,
            beta_ratio=options.beta_ratio,
            steps=options.edit_steps,
            rank=options.r,
            on_layer=monitor.advance,
        )
        adapter = attach(base.model, {edit.layer.name: edit.pairs for edit in edits}, scaling=1.0)
        scale = scale_down(adapter, _stop_rule(lesson, monitor)) if options.early_stopping else 1.0
        _require_sane(lesson, loss_before=loss_before)

    summary = EditSummary(
        facts=len(facts),
        scale=scale,
        moment_tokens=moments.tokens,
        moments_from_cache=was_there,
        layers=[_layer_summary(edit, scale=scale) for edit in edits],
    )
    return Learned(adapter, _training_summary(options), edit=summary)


def _stop_rule(lesson: Lesson, monitor: JobMonitor) -> StopRule:
    sets = lesson.sets
    return StopRule(lesson.base, sets.forget, sets.retain_measured, lesson.thresholds, lesson.before, monitor)


def _require_sane(lesson: Lesson, *, loss_before: float) -> None:
    """Return unless the edited model is destroyed.

    Raises:
        DivergedError: nothing of it is delivered.
    """
    now = watched_loss(lesson.base, lesson.sets.retain_measured)
    if is_destroyed(before=loss_before, now=now, vocab_size=lesson.base.model.config.vocab_size):
        raise DivergedError("the retain loss is nearly that of a guess: lower norm_limit")


def scale_down(adapter: Adapter, measure: Callable[[], StopCheck]) -> float:
    """Scale the adapter to the least of the edit that was found to forget, and return the scale.

    What an edit disturbs grows with it, and a memory pushed far below the thresholds is itself a trace. Nothing over
    the whole edit is tried: the disturbance that the request allows is spent then.
    """
    if not measure().forgotten:
        return 1.0
    whole = {name: tensor.clone() for name, tensor in adapter.tensors().items()}
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        adapter.load(_scaled(whole, middle))
        low, high = (low, middle) if measure().forgotten else (middle, high)
    adapter.load(_scaled(whole, high))
    return high


def _scaled(tensors: dict[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Return the tensors of an adapter with both factors ``B`` scaled, and so the products."""
    return {name: scale * tensor if name.endswith((".b", ".anchor_b")) else tensor for name, tensor in tensors.items()}


def _layer_summary(edit: LayerEdit, *, scale: float) -> EditedLayerSummary:
    return EditedLayerSummary(
        layer=edit.layer.layer,
        module=edit.layer.name,
        relative_norm=scale * edit.relative_norm,
        disturbance=scale * edit.disturbance,
        truncation_error=edit.truncation_error,
    )


def _training_summary(options: LawOptions) -> TrainingSummary:
    """Return the summary of a run that always takes all its steps, and has no loss to show on the way."""
    return TrainingSummary(
        steps=options.edit_steps,
        planned_steps=options.edit_steps,
        delivered_step=options.edit_steps,
        stopped_early=False,
        resumed_from_step=None,
        trajectory=[],
    )
