from contextlib import nullcontext
from dataclasses import dataclass

from core.domain.job import Stage
from core.domain.options import TrainedOptions
from core.domain.report import EditSummary, FisherSummary, Thresholds, TrainingSummary
from core.modeling.adapter import Adapter, target_linears
from core.modeling.base_model import BaseModel
from core.modeling.packing import can_pack
from core.modeling.recomputed import recomputed
from core.modeling.sharding import is_sharded
from core.pipeline.adapter_start import resume_adapter, saver, start_adapter
from core.pipeline.measure import Measurement
from core.pipeline.retain_statistics import retain_statistics
from core.pipeline.rewrite import rewritten
from core.pipeline.sets import EncodedSets
from core.pipeline.stop import StopRule, watched_loss
from core.pipeline.stopwatch import Stopwatch
from core.pipeline.task import RunTask
from core.ports import Cache, JobMonitor
from core.unlearning.agreed_step import AgreedStep
from core.unlearning.checkpoint import TrainingState
from core.unlearning.features import leading_directions
from core.unlearning.forget_loss import Surroundings
from core.unlearning.methods import forget_loss
from core.unlearning.step import FusedStep, TrainingData
from core.unlearning.take_step import take_step_for
from core.unlearning.training import Hooks, train


@dataclass(frozen=True)
class Learned:
    """An adapter that was made, and how."""

    adapter: Adapter
    training: TrainingSummary
    fisher: FisherSummary | None = None
    edit: EditSummary | None = None


@dataclass(frozen=True)
class Lesson:
    """What a method learns from."""

    task: RunTask
    base: BaseModel
    sets: EncodedSets
    before: Measurement
    thresholds: Thresholds


def train_adapter(
    lesson: Lesson, options: TrainedOptions, monitor: JobMonitor, cache: Cache, watch: Stopwatch
) -> Learned:
    """Return an adapter trained step by step, from where an earlier attempt stood if there was one."""
    base, sets = lesson.base, lesson.sets
    layers = target_linears(base.model, options.target_modules)
    checkpoint = monitor.load_checkpoint()
    state = TrainingState.parse(checkpoint) if checkpoint else None

    with watch.stage(Stage.FISHER):
        about = retain_statistics(lesson.task, base, layers, sets, options, cache, initializing=state is None)

    with watch.stage(Stage.INITIALIZE):
        # Made before the adapter is attached: they ask the base model.
        packs = can_pack(base.model)
        loss = forget_loss(options, Surroundings(base, sets.forget, options.seed))
        watched = watched_loss(base, sets.retain_measured) if options.retain_loss == "none" else None
        if state is None:
            adapter, fisher = start_adapter(base, layers, sets.forget, about, options)
        else:
            adapter, fisher = resume_adapter(base, layers, state, options)
        kept_free = {
            # At most half of what a layer can write: with all directions kept free nothing could be forgotten.
            name: leading_directions(features, count=min(options.rol_directions, features.shape[1] // 2))
            for name, features in (about.features or {}).items()
            if options.rol_weight > 0
        }
        del about  # as large as the base model, and done with

    with watch.stage(Stage.TRAIN, total_steps=options.planned_steps(len(sets.forget))):
        stop = StopRule(base, sets.forget, sets.retain_measured, lesson.thresholds, lesson.before, monitor, watched)
        hooks = Hooks(monitor.advance, stop, stop.num_rows, saver(monitor, fisher))
        data = TrainingData(
            forget=sets.forget,
            retain=sets.retain_trained,
            rewritten=rewritten(lesson.task, base) if loss.needs.rewritten else None,
        )
        step = take_step_for(FusedStep(base, adapter, loss, data, options, kept_free or None, packs))
        if is_sharded(base.model):
            step = AgreedStep(step, adapter)
        saves_memory = lesson.task.gradient_checkpointing and not options.differentiates_twice
        with recomputed(base.model) if saves_memory else nullcontext():
            training = train(adapter, step, data, options, hooks, resume=state)
    return Learned(adapter, training, fisher)
