import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import torch

from core.domain.errors import DivergedError
from core.domain.options import TrainedOptions
from core.domain.report import TrainingSummary, TrajectoryPoint
from core.modeling.adapter import Adapter
from core.unlearning.checkpoint import Passing, TrainingState
from core.unlearning.step import Plan, StepLosses, TakeStep, TrainingData

CHECKPOINT_EVERY = 10
# A stop check is a forward pass over the forget set; all of them together may cost this share of the training.
STOP_CHECK_SHARE = 0.2
DESTROYED_SHARE = 0.9


@dataclass(frozen=True)
class StopCheck:
    """What a measurement says while training goes on."""

    metrics: dict[str, float]
    forgotten: bool  # the forget set is under its thresholds
    margin: float | None  # by how much the retain set is above its gate; None where that was not asked
    aim: float  # the margin that is enough
    remaining: tuple[int, ...] = ()  # forget rows that are over the limits of the set
    # Of sampled retain tokens under the base model and now, where the steps see none.
    retain_losses: tuple[float, float] | None = None

    @property
    def passes(self) -> bool:
        """Whether the adapter as it is would pass."""
        return self.forgotten and self.margin is not None and self.margin >= 0

    @property
    def reached(self) -> bool:
        """Whether there is nothing left to gain."""
        return self.passes and self.margin is not None and self.margin >= self.aim


@dataclass(frozen=True)
class Hooks:
    """How training speaks to its surroundings."""

    on_step: Callable[[int], None]
    measure: Callable[[], StopCheck]
    rows_a_measure: int  # how many rows a measurement passes
    save: Callable[[TrainingState], None]


def learning_rate(options: TrainedOptions, *, step: int, total: int) -> float:
    """Return the rate of a step: linear warm-up, then linear decay towards zero."""
    warmup = max(1, round(options.warmup_ratio * total))
    if step < warmup:
        return options.learning_rate * (step + 1) / warmup
    return options.learning_rate * (total - step) / max(1, total - warmup)


def train(
    adapter: Adapter,
    take_step: TakeStep,
    data: TrainingData,
    options: TrainedOptions,
    hooks: Hooks,
    *,
    resume: TrainingState | None = None,
) -> TrainingSummary:
    """Train the adapter in place until the forget set is forgotten and the retain set kept, or the schedule ends.

    While the last stop check found the forget set forgotten, steps only repair: pushing further below the thresholds
    would cost utility, and a model that knows less about a text than one that never saw it gives the deletion away.
    A method without a retain loss has nothing to repair with, so it stops there. Forget rows are drawn from those that
    the last check found over the limits of the set: the others are left alone for as long as they stay under. Where
    checks found the set forgotten on the way, the adapter is left as it was at the one that kept most.

    Args:
        adapter: what is trained; its anchors stay.
        take_step: one update.
        data: both sets, not empty.
        options: the knobs.
        hooks: progress, stop check, checkpoints.
        resume: where an earlier attempt stood; the run goes on as if it had not been interrupted.

    Raises:
        DivergedError: a loss is not finite, or the model is destroyed; nothing trained on it is delivered.
    """
    total, check_every = options.planned_steps(len(data.forget)), _check_interval(options, data, hooks.rows_a_measure)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    # Without a retain loss only a check can tell that the model breaks, so it is watched even where it may not stop.
    is_watched = options.early_stopping or options.retain_loss == "none"
    run = _Run.resumed(resume, adapter, optimizer) if resume else _Run()
    while run.step < total and not run.reached:
        _set_rate(optimizer, learning_rate(options, step=run.step, total=total))
        losses = _stepped(take_step, run.plan(options), optimizer, run.trajectory)
        run.step += 1
        is_check_due = is_watched and (run.step % check_every == 0 or run.step == total)
        check = hooks.measure() if is_check_due else None
        run.trajectory.append(_point(run.step, losses, check))
        _require_sane(adapter, losses, check, run.trajectory)
        if check is not None and options.early_stopping:
            run.note(check, adapter, can_repair=options.retain_loss != "none")
        hooks.on_step(run.step)
        if run.step % CHECKPOINT_EVERY == 0 and run.step < total and not run.reached:
            hooks.save(run.captured(adapter, optimizer))
    if run.best is not None:
        adapter.load(adapter.tensors() | run.best.tensors)
    return TrainingSummary(
        steps=run.step,
        planned_steps=total,
        delivered_step=run.best.step if run.best else run.step,
        stopped_early=run.reached and run.step < total,
        resumed_from_step=resume.step if resume else None,
        trajectory=run.trajectory,
    )


@dataclass
class _Run:
    """Where a run stands: everything that decides its next step, besides adapter and optimizer."""

    step: int = 0
    forgotten: bool = False
    reached: bool = False
    remaining: tuple[int, ...] | None = None
    best: Passing | None = None
    trajectory: list[TrajectoryPoint] = field(default_factory=list)

    @classmethod
    def resumed(cls, state: TrainingState, adapter: Adapter, optimizer: torch.optim.Optimizer) -> Self:
        """Return where an earlier attempt stood, adapter and optimizer included."""
        state.restore(adapter, optimizer)
        return cls(state.step, state.forgotten, False, state.remaining, state.best, list(state.trajectory))

    def plan(self, options: TrainedOptions) -> Plan:
        """Return what the next step shall do."""
        weight = retain_weight(options, self.trajectory)
        if self.forgotten and weight == 0:  # a dual variable at rest: a step that only repairs must still repair
            weight = 1.0
        return Plan(step=self.step, forgetting=not self.forgotten, retain_weight=weight, remaining=self.remaining)

    def note(self, check: StopCheck, adapter: Adapter, *, can_repair: bool) -> None:
        """Take over what a check found."""
        self.forgotten, self.remaining = check.forgotten, check.remaining or None
        self.reached = check.reached or (check.forgotten and not can_repair)
        self.best = _better(self.best, check, adapter, step=self.step)

    def captured(self, adapter: Adapter, optimizer: torch.optim.Optimizer) -> TrainingState:
        """Return the state that a later attempt can go on from."""
        return TrainingState.capture(
            adapter,
            optimizer,
            self.trajectory,
            step=self.step,
            forgotten=self.forgotten,
            remaining=self.remaining,
            best=self.best,
        )


def retain_weight(options: TrainedOptions, trajectory: Sequence[TrajectoryPoint]) -> float:
    """Return the weight of the retain loss at the next step.

    With a bound it is the dual variable of ``retain_loss <= bound``: it grows by ``dual_step`` times what each step was
    over, and shrinks, not below the weight it started with, when the retain loss is under (PDU). It is a function of
    the trajectory, so a resumed run has it too.
    """
    weight = options.retain_weight
    if options.retain_bound is None:
        return weight
    for point in trajectory:
        if point.retain_loss is not None:
            over = point.retain_loss - options.retain_bound
            weight = max(options.retain_weight, weight + options.dual_step * over)
    return weight


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _better(best: Passing | None, check: StopCheck, adapter: Adapter, *, step: int) -> Passing | None:
    """Return the adapter that kept most among those found to have forgotten: this one, or the best so far."""
    if not check.forgotten or check.margin is None or (best is not None and check.margin <= best.margin):
        return best
    return Passing.capture(adapter, margin=check.margin, step=step)


def is_destroyed(*, before: float, now: float, vocab_size: int) -> bool:
    """Return whether a retain loss, in nats a token, says that almost nothing is left of what the base model knew.

    What it knew is by how much it was better than an even guess over the vocabulary. A model that guesses by how
    frequent tokens are is somewhat better than that too, so the bound is not at the whole of it. A loss that is not
    a number says so as well.
    """
    known = max(math.log(vocab_size) - before, 1.0)  # a base model that only guessed may still be allowed some noise
    return not now - before <= DESTROYED_SHARE * known


def _require_sane(
    adapter: Adapter, losses: StepLosses, check: StopCheck | None, trajectory: Sequence[TrajectoryPoint]
) -> None:
    """Return unless the model is destroyed: no step will bring it back.

    Raises:
        DivergedError: with the last numbers that were good.
    """
    pairs = [check.retain_losses] if check and check.retain_losses else []
    if losses.retain is not None:
        pairs.append((trajectory[0].retain_loss or 0.0, losses.retain))
    size = adapter.model.config.vocab_size
    if not any(is_destroyed(before=before, now=now, vocab_size=size) for before, now in pairs):
        return
    raise DivergedError(
        f"the retain loss is nearly that of a guess at step {trajectory[-1].step}: lower learning_rate or raise "
        f"retain_weight{_last_good(trajectory[:-1])}"
    )


def _stepped(
    take_step: TakeStep, plan: Plan, optimizer: torch.optim.Optimizer, trajectory: Sequence[TrajectoryPoint]
) -> StepLosses:
    """Take the step; where it diverges, say what the last good numbers were."""
    try:
        return take_step(plan, optimizer)
    except DivergedError as diverged:
        raise DivergedError(f"{diverged}{_last_good(trajectory)}") from diverged


def _last_good(trajectory: Sequence[TrajectoryPoint]) -> str:
    good = next((point for point in reversed(trajectory) if point.forget_metrics), None)
    if good is None:
        return ""
    numbers = ", ".join(f"{name} {value:.3g}" for name, value in (good.forget_metrics or {}).items())
    return f"; the last check that was good, at step {good.step}: {numbers}"


def _check_interval(options: TrainedOptions, data: TrainingData, rows_a_measure: int) -> int:
    """Return how many steps lie between stop checks, so that these stay within their share of the cost.

    A step passes its rows forward and backward, three times the cost of the forward pass of a check.
    """
    num_retain = 0 if options.retain_loss == "none" else len(data.retain)
    rows_a_batch = min(options.batch_size, len(data.forget)) + min(options.batch_size, num_retain)
    rows_a_step = rows_a_batch * options.batches_a_step
    return max(2, round(rows_a_measure / (3 * rows_a_step * STOP_CHECK_SHARE)))


def _point(step: int, losses: StepLosses, check: StopCheck | None) -> TrajectoryPoint:
    return TrajectoryPoint(
        step=step, forget_loss=losses.forget, retain_loss=losses.retain, forget_metrics=check.metrics if check else None
    )
