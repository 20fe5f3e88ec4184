from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from core.data.batches import training_batch
from core.data.collate import collate
from core.data.corpus import Example
from core.domain.catalog import LokuOptions
from core.domain.errors import DivergedError
from core.domain.report import TrainingSummary, TrajectoryPoint
from core.modeling.adapter import Adapter
from core.modeling.base_model import BaseModel
from core.modeling.scoring import score
from core.unlearning.checkpoint import Passing, TrainingState
from core.unlearning.methods import ForgetLoss

CHECKPOINT_EVERY = 10
# A stop check is a forward pass over the forget set; all of them together may cost this share of the training.
STOP_CHECK_SHARE = 0.2
# The retain rows of a run are drawn from their own stream, so that forget and retain sizes do not interfere.
_RETAIN_STREAM = 7919


@dataclass(frozen=True)
class StopCheck:
    """What a measurement says while training goes on."""

    metrics: dict[str, float]
    forgotten: bool  # the forget set is under its thresholds
    margin: float | None  # by how much the retain set is above its gate; None where that was not asked
    aim: float  # the margin that is enough

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


@dataclass(frozen=True)
class Objective:
    """What a step minimises. Without a forget loss it repairs only."""

    forget_loss: ForgetLoss | None
    retain_weight: float


@dataclass(frozen=True)
class TrainingData:
    """The two sets, encoded."""

    forget: Sequence[Example]
    retain: Sequence[Example]


def planned_steps(options: LokuOptions, num_forget: int) -> int:
    """Return the length of the schedule: epochs over the forget set, but never fewer than ``min_steps``."""
    if options.max_steps is not None:
        return options.max_steps
    per_epoch = -(-num_forget // min(options.batch_size, num_forget))
    return max(options.num_epochs * per_epoch, options.min_steps)


def learning_rate(options: LokuOptions, *, step: int, total: int) -> float:
    """Return the rate of a step: linear warm-up, then linear decay towards zero."""
    warmup = max(1, round(options.warmup_ratio * total))
    if step < warmup:
        return options.learning_rate * (step + 1) / warmup
    return options.learning_rate * (total - step) / max(1, total - warmup)


def train(
    base: BaseModel,
    adapter: Adapter,
    forget_loss: ForgetLoss,
    data: TrainingData,
    options: LokuOptions,
    hooks: Hooks,
    *,
    resume: TrainingState | None = None,
) -> TrainingSummary:
    """Train the adapter in place until the forget set is forgotten and the retain set kept, or the schedule ends.

    Each step is one fused batch: forget and retain rows share the forward and the backward pass, and the loss is
    ``forget_loss + retain_weight * cross_entropy``, each a mean over its own tokens. While the last stop check found
    the forget set forgotten, steps only repair: pushing further below the thresholds would cost utility, and a
    model that knows less about a text than one that never saw it gives the deletion away. Where adapters passed a stop
    check on the way, the one with the widest margin is what the adapter is left as.

    Args:
        base: the base model with the adapter attached.
        adapter: what is trained; its anchors stay.
        forget_loss: sees the content places of the forget rows only.
        data: both sets, not empty.
        options: the knobs.
        hooks: progress, stop check, checkpoints.
        resume: where an earlier attempt stood; the run goes on as if it had not been interrupted.

    Raises:
        DivergedError: a loss is not finite; nothing trained on it is delivered.
    """
    total, check_every = planned_steps(options, len(data.forget)), _check_interval(options, data, hooks.rows_a_measure)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    trajectory: list[TrajectoryPoint] = []
    step, forgotten, reached, best = 0, False, False, None
    if resume is not None:
        resume.restore(adapter, optimizer)
        trajectory, step, forgotten, best = list(resume.trajectory), resume.step, resume.forgotten, resume.best
    while step < total and not reached:
        _set_rate(optimizer, learning_rate(options, step=step, total=total))
        objective = Objective(forget_loss=None if forgotten else forget_loss, retain_weight=options.retain_weight)
        losses = _step(base, adapter, objective, data, options, optimizer, step=step)
        step += 1
        check = hooks.measure() if options.early_stopping and (step % check_every == 0 or step == total) else None
        trajectory.append(_point(step, losses, check))
        if check is not None:
            forgotten, reached = check.forgotten, check.reached
            best = _better(best, check, adapter, step=step)
        hooks.on_step(step)
        if step % CHECKPOINT_EVERY == 0 and step < total and not reached:
            hooks.save(TrainingState.capture(adapter, optimizer, trajectory, step=step, forgotten=forgotten, best=best))
    if best is not None:
        adapter.load(adapter.tensors() | best.tensors)
    return TrainingSummary(
        steps=step,
        planned_steps=total,
        delivered_step=best.step if best else step,
        stopped_early=reached and step < total,
        resumed_from_step=resume.step if resume else None,
        trajectory=trajectory,
    )


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _better(best: Passing | None, check: StopCheck, adapter: Adapter, *, step: int) -> Passing | None:
    """Return the adapter with the widest margin among those that passed a check: this one, or the best so far."""
    if not check.passes or check.margin is None or (best is not None and check.margin <= best.margin):
        return best
    return Passing.capture(adapter, margin=check.margin, step=step)


def _step(
    base: BaseModel,
    adapter: Adapter,
    objective: Objective,
    data: TrainingData,
    options: LokuOptions,
    optimizer: torch.optim.Optimizer,
    *,
    step: int,
) -> tuple[float | None, float]:
    forget = _rows(data.forget, options, step=step, seed=options.seed) if objective.forget_loss else []
    retain = _rows(data.retain, options, step=step, seed=options.seed + _RETAIN_STREAM)
    batch = collate([*forget, *retain], pad_id=base.pad_id).to(base.device)
    scores = score(base.model, batch)
    is_forget = scores.row < len(forget)
    kept = scores.where(~is_forget)
    retain_value = functional.cross_entropy(kept.logits.float(), kept.target)
    loss: Tensor = objective.retain_weight * retain_value
    forget_value = objective.forget_loss(scores.where(is_forget & scores.content)) if objective.forget_loss else None
    if forget_value is not None:
        loss = loss + forget_value
    if not torch.isfinite(loss):
        raise DivergedError(f"the loss is not finite at step {step + 1}: lower learning_rate")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(adapter.parameters(), options.max_grad_norm)
    optimizer.step()
    return None if forget_value is None else float(forget_value.detach()), float(retain_value.detach())


def _rows(examples: Sequence[Example], options: LokuOptions, *, step: int, seed: int) -> list[Example]:
    return [examples[at] for at in training_batch(examples, batch_size=options.batch_size, step=step, seed=seed)]


def _check_interval(options: LokuOptions, data: TrainingData, rows_a_measure: int) -> int:
    """Return how many steps lie between stop checks, so that these stay within their share of the cost.

    A step passes its rows forward and backward, three times the cost of the forward pass of a check.
    """
    rows_a_step = min(options.batch_size, len(data.forget)) + min(options.batch_size, len(data.retain))
    return max(2, round(rows_a_measure / (3 * rows_a_step * STOP_CHECK_SHARE)))


def _point(step: int, losses: tuple[float | None, float], check: StopCheck | None) -> TrajectoryPoint:
    return TrajectoryPoint(
        step=step, forget_loss=losses[0], retain_loss=losses[1], forget_metrics=check.metrics if check else None
    )
