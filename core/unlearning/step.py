from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from core.data.batches import training_batch
from core.data.collate import Batch, collate, pack
from core.data.corpus import Example
from core.domain.errors import DivergedError
from core.domain.options import TrainedOptions
from core.modeling.adapter import Adapter, AnchoredLinear
from core.modeling.base_model import BaseModel
from core.modeling.packing import attention_width
from core.modeling.scoring import place_hidden
from core.modeling.token_states import MAX_LOGIT_BYTES, TokenStates, places_at_once
from core.unlearning.forget_loss import ForgetBatch, ForgetLoss
from core.unlearning.hidden_states import capture
from core.unlearning.retain_loss import retain_loss

# The retain rows of a run are drawn from their own stream, so that forget and retain sizes do not interfere.
RETAIN_STREAM = 7919


@dataclass(frozen=True)
class TrainingData:
    """The sets of a run, encoded."""

    forget: Sequence[Example]
    retain: Sequence[Example]
    rewritten: Sequence[Example] | None = None  # forget items with a refusal as completion, in the same order


@dataclass(frozen=True)
class Plan:
    """What one step shall do."""

    step: int
    forgetting: bool  # False: only repair
    retain_weight: float
    remaining: tuple[int, ...] | None = None  # forget rows that are not forgotten yet; None: nobody has looked


@dataclass(frozen=True)
class StepLosses:
    """What a step saw. A loss that it did not compute is None."""

    forget: float | None
    retain: float | None


class TakeStep(Protocol):
    """One update of the adapter."""

    def __call__(self, plan: Plan, optimizer: torch.optim.Optimizer) -> StepLosses:
        """Update the adapter. DivergedError when a loss is not finite; the adapter is as it was then."""
        ...


@dataclass(frozen=True)
class Losses:
    """The two losses of a batch, with their graph."""

    forget: Tensor | None
    retain: Tensor | None


@dataclass(frozen=True)
class FusedStep:
    """A step on one fused batch: forget and retain rows share the forward and the backward pass.

    The loss is ``forget_weight * forget_loss + retain_weight * retain_loss + rol_weight * penalty``, the first two
    each a mean over its own places.
    """

    base: BaseModel
    adapter: Adapter
    forget_loss: ForgetLoss
    data: TrainingData
    options: TrainedOptions
    kept_free: dict[str, Tensor] | None = None  # (out, k) of each layer: orthonormal retain directions, for ROL
    packs: bool = False  # whether rows may share a line, see core.modeling.packing
    max_logit_bytes: int | None = MAX_LOGIT_BYTES  # None: no limit, and a graph that can be differentiated again

    def __call__(self, plan: Plan, optimizer: torch.optim.Optimizer) -> StepLosses:
        """See :class:`TakeStep`."""
        optimizer.zero_grad(set_to_none=True)
        if self.options.sharpness_radius and plan.forgetting:
            losses = self._sharp_backward(plan)
        else:
            losses = self.losses(plan)
            _backward(self.total(plan, losses), step=plan.step)
        _fill_gradients(self.adapter)
        norm = torch.nn.utils.clip_grad_norm_(self.adapter.parameters(), self.options.max_grad_norm)
        require_finite(norm, step=plan.step)  # a finite loss may have a gradient that is not
        optimizer.step()
        return StepLosses(_value(losses.forget), _value(losses.retain))

    def losses(self, plan: Plan, *, forget: bool = True, retain: bool = True) -> Losses:
        """Return the losses that the plan asks for, restricted to one side if need be."""
        forget_rows, rewritten_rows = self._forget_rows(plan) if forget and plan.forgetting else ([], [])
        wants_retain = retain and self.options.retain_loss != "none"
        retain_rows = self._retain_rows(plan) if wants_retain else []
        rows = [*(self.data.forget[at] for at in forget_rows), *rewritten_rows, *retain_rows]
        if not rows:
            return Losses(None, None)
        batch = self.lay_out(rows)
        needs = self.forget_loss.needs
        with capture(self.base.model, needs.hidden if forget_rows else None) as captured:
            states = self._states(batch)
        if (forget_rows and needs.reference) or (retain_rows and self.options.retain_loss == "kl"):
            states = replace(states, reference=self._reference(batch))
        forget_value = retain_value = None
        if forget_rows:
            hidden = captured.at(batch)
            forget_value = self.forget_loss(
                self._forget_batch(states, batch.content, hidden, forget_rows, num_rewritten=len(rewritten_rows))
            )
        if retain_rows:
            kept = states.row >= len(forget_rows) + len(rewritten_rows)
            retain_value = retain_loss(self.options.retain_loss, states.where(kept))
        return Losses(forget_value, retain_value)

    def lay_out(self, rows: Sequence[Example]) -> Batch:
        """Return the rows as the model reads them."""
        pad_id, device = self.base.pad_id, self.base.device
        if not self.packs:
            return collate(rows, pad_id=pad_id).to(device)
        wide = attention_width(self.base.model)
        return pack(rows, pad_id=pad_id, attention_width=wide, max_width=self.base.max_tokens).to(device)

    def _states(self, batch: Batch) -> TokenStates:
        head, limit = self.base.model.get_output_embeddings(), self.max_logit_bytes
        chunk = len(batch.target) if limit is None else places_at_once(head.weight.shape[0], max_logit_bytes=limit)
        return TokenStates(place_hidden(self.base.model, batch), head, batch.target, batch.row, chunk)

    def _forget_batch(
        self,
        states: TokenStates,
        content: Tensor,
        hidden: Tensor | None,
        rows: Sequence[int],
        *,
        num_rewritten: int,
    ) -> ForgetBatch:
        mine = (states.row < len(rows)) & content
        rewritten = None
        if num_rewritten:
            other = (states.row >= len(rows)) & (states.row < len(rows) + num_rewritten) & content
            found = states.where(other)
            rewritten = replace(found, row=found.row - len(rows))
        return ForgetBatch(
            states=states.where(mine),
            place=content_places(self.data.forget, rows).to(states.target.device),
            hidden=None if hidden is None else hidden[mine],
            rewritten=rewritten,
        )

    def _forget_rows(self, plan: Plan) -> tuple[list[int], list[Example]]:
        size, seed = self.options.batch_size, self.options.seed
        pool = range(len(self.data.forget)) if plan.remaining is None else plan.remaining
        drawn = training_batch([self.data.forget[at] for at in pool], batch_size=size, step=plan.step, seed=seed)
        places = [pool[at] for at in drawn]
        if not self.forget_loss.needs.rewritten or self.data.rewritten is None:
            return places, []
        return places, [self.data.rewritten[at] for at in places]

    def _retain_rows(self, plan: Plan) -> list[Example]:
        size, seed = self.options.batch_size, self.options.seed + RETAIN_STREAM
        return [
            self.data.retain[at] for at in training_batch(self.data.retain, batch_size=size, step=plan.step, seed=seed)
        ]

    @torch.no_grad()
    def _reference(self, batch: Batch) -> Tensor:
        with self.adapter.disabled():
            return place_hidden(self.base.model, batch)

    def total(self, plan: Plan, losses: Losses) -> Tensor:
        """Return the weighted sum that a step minimises."""
        loss = torch.zeros((), device=self.base.device)
        if losses.forget is not None:
            loss = loss + self.options.forget_weight * losses.forget
        if losses.retain is not None:
            loss = loss + plan.retain_weight * losses.retain
        if self.options.rol_weight:
            if self.kept_free is None:
                raise ValueError("a step with rol_weight needs the directions to keep free")
            loss = loss + self.options.rol_weight * orthogonality_penalty(self.adapter, self.kept_free)
        return loss

    def _sharp_backward(self, plan: Plan) -> Losses:
        """Accumulate the forget gradient at the sharpest point within the radius, and the rest in place.

        Source: Fan et al., 2025 (arXiv 2502.05374), sharpness-aware minimisation of the forget loss alone.
        """
        parameters = self.adapter.parameters()
        there = self._forget_loss_now(plan)
        require_finite(there, step=plan.step)
        # A layer behind the hidden states that a loss reads has no part in it, and stays where it is.
        gradients = torch.autograd.grad(there, parameters, materialize_grads=True)
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        shift = [self.options.sharpness_radius * gradient / (norm + 1e-12) for gradient in gradients]
        with moved(parameters, shift):
            _backward(self.options.forget_weight * self._forget_loss_now(plan), step=plan.step)
        rest = self.losses(plan, forget=False)
        _backward(self.total(plan, rest), step=plan.step)
        return Losses(there, rest.retain)

    def _forget_loss_now(self, plan: Plan) -> Tensor:
        forget = self.losses(plan, retain=False).forget
        if forget is None:
            raise ValueError("a sharp step is a step that forgets")
        return forget


def content_places(examples: Sequence[Example], rows: Sequence[int]) -> Tensor:
    """Return the number of each content token of these rows, counted through all the examples, (N,) int64."""
    starts = [0]
    for example in examples:
        starts.append(starts[-1] + len(example.answer))
    return torch.cat([torch.arange(starts[row], starts[row + 1]) for row in rows])


def orthogonality_penalty(adapter: Adapter, kept_free: dict[str, Tensor]) -> Tensor:
    """Return the sum over layers of ``||Q^T (B A - B0 A0)||_F^2``: how far the adapter writes along retain directions.

    ``Q`` (out, k) holds a layer's retain directions. With ``D = A - A0`` the product in the norm is
    ``Q^T B D + Q^T (B - B0) A0``, exactly zero at the start; its norm is taken without forming the (k, in) matrix.

    Source: ReGLU's regulariser ROL (Xiao et al., 2026, arXiv 2604.17396), which penalises ``B^T Q``. Here the anchor
    takes ``B0 A0`` back, so the adapter writes ``B A - B0 A0``; keeping ``B`` or ``B - B0`` out of the directions would
    let ``A`` write there through ``B0``.
    """
    return torch.stack([_written(layer, kept_free[name]) for name, layer in adapter.layers.items()]).sum()


def _written(layer: AnchoredLinear, directions: Tensor) -> Tensor:
    left = directions.T @ torch.cat([layer.b, layer.b - layer.anchor_b], dim=1)  # (k, 2r)
    right = torch.cat([layer.a - layer.anchor_a, layer.anchor_a])  # (2r, in)
    return ((left @ (right @ right.T)) * left).sum()


@contextmanager
def moved(parameters: Sequence[Tensor], shift: Sequence[Tensor]) -> Iterator[None]:
    """Within, the parameters are shifted; afterwards they are exactly what they were."""
    before = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter, by in zip(parameters, shift, strict=True):
            parameter.add_(by)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)


def require_finite(loss: Tensor, *, step: int) -> None:
    """Return if the loss is a number. Nothing trained on another one may be delivered.

    Raises:
        DivergedError: it is not.
    """
    if not torch.isfinite(loss):
        raise DivergedError(f"the loss is not finite at step {step + 1}: lower learning_rate")


def _backward(loss: Tensor, *, step: int) -> None:
    require_finite(loss, step=step)
    if loss.requires_grad:  # after a sharp step without a retain loss there is nothing left to add
        loss.backward()


def _fill_gradients(adapter: Adapter) -> None:
    """Give a zero to layers that no loss depends on, so that a checkpoint has moments for each.

    Those are the layers behind the hidden states that a forget loss reads, where no retain loss goes with it.
    """
    for parameter in adapter.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def _value(loss: Tensor | None) -> float | None:
    return None if loss is None else float(loss.detach())
