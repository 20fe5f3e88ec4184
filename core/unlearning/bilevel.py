import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.domain.catalog import OfmuOptions
from core.domain.errors import DivergedError
from core.modeling.smooth_kernels import smooth_kernels
from core.unlearning.inner_objective import inner_gradient, squared_norm
from core.unlearning.step import FusedStep, Losses, Plan, StepLosses, require_finite

# A gradient shorter than this makes a proportionally shorter inner step, so that climbing ends where the forget loss
# is saturated. Above it all inner steps are alike: a text known by heart has a gradient a fiftieth of one half known.
FULL_STEP_NORM = 0.01
# The weight of the penalty stops growing here: it is a power of the step, and a run may have 100 000 of them.
LARGEST_PENALTY = 1000.0


@dataclass(frozen=True)
class BilevelStep:
    """One outer iteration of OFMU: some steps that climb the inner objective, then one step that repairs.

    With ``Phi`` of :func:`~core.unlearning.inner_objective.inner_gradient`, from the adapter ``theta`` of step ``k``:

        inner_steps times:  theta <- theta + length * grad Phi / max(|grad Phi|, FULL_STEP_NORM)
        once, by AdamW:     descend along the gradient of  retain_weight L_r + rho_k |grad Phi|^2

    The outer gradient is taken where the inner steps ended; its penalty part ``2 rho_k H_Phi grad Phi`` is exact, by a
    third backward pass. ``length`` moves each entry of the adapter by ``inner_learning_rate`` in the root mean square,
    so it has the unit of AdamW's rate and follows the same schedule. Each inner step and the outer one have batches of
    their own. Everything is a function of the step, the adapter and AdamW's moments, so a run can be resumed.

    References:
        Asif and Mohammadi Amiri, 2025, https://arxiv.org/abs/2509.22483, algorithm 1.
    """

    fused: FusedStep  # for its batches and losses, and for steps that only repair
    options: OfmuOptions

    def __call__(self, plan: Plan, optimizer: torch.optim.Optimizer) -> StepLosses:
        """See :class:`~core.unlearning.step.TakeStep`; the losses are those before the first inner step."""
        if not plan.forgetting:
            return self.fused(plan, optimizer)
        parameters = self.fused.adapter.parameters()
        with _undone_if_diverged(parameters):
            seen = self._climb(plan, length=self._length(optimizer))
            gradient = self._outer_gradient(plan)
        for parameter, value in zip(parameters, gradient, strict=True):
            parameter.grad = value
        torch.nn.utils.clip_grad_norm_(parameters, self.options.max_grad_norm)
        optimizer.step()
        return seen

    def penalty(self, step: int) -> float:
        """Return ``rho_k``, the weight of the penalty at a step."""
        if not self.options.penalty:
            return 0.0
        # By logarithms: the power itself would overflow.
        exponent = math.log(self.options.penalty) + step * math.log(self.options.penalty_growth)
        return math.exp(min(exponent, math.log(LARGEST_PENALTY)))

    def _length(self, optimizer: torch.optim.Optimizer) -> float:
        """Return how far an inner step moves the adapter, as one vector, at the present rate of the schedule."""
        share = float(optimizer.param_groups[0]["lr"]) / self.options.learning_rate
        entries = sum(parameter.numel() for parameter in self.fused.adapter.parameters())
        return self.options.inner_learning_rate * share * math.sqrt(entries)

    def _climb(self, plan: Plan, *, length: float) -> StepLosses:
        parameters = self.fused.adapter.parameters()
        seen = []
        for inner in range(self.options.inner_steps):
            forget, retain = self._losses(plan, inner)
            seen.append(StepLosses(float(forget.detach()), float(retain.detach())))
            gradient = self._inner_gradient(forget, retain)
            norm = float(squared_norm(gradient).sqrt())
            if not math.isfinite(norm):
                raise DivergedError(
                    f"the gradient of an inner step is not finite at step {plan.step + 1}: lower inner_learning_rate"
                )
            with torch.no_grad():
                for parameter, value in zip(parameters, gradient, strict=True):
                    parameter.add_(value, alpha=length / max(norm, FULL_STEP_NORM))
        return seen[0]

    def _outer_gradient(self, plan: Plan) -> list[Tensor]:
        parameters = self.fused.adapter.parameters()
        forget, retain = self._losses(plan, self.options.inner_steps)
        objective = self.fused.total(plan, Losses(None, retain))
        penalty = self.penalty(plan.step)
        if penalty:
            slope = self._inner_gradient(forget, retain, differentiable=True)
            objective = objective + penalty * squared_norm(slope)
        gradient = torch.autograd.grad(objective, parameters, materialize_grads=True)
        require_finite(objective + squared_norm(gradient), step=plan.step)
        return list(gradient)

    def _inner_gradient(self, forget: Tensor, retain: Tensor, *, differentiable: bool = False) -> list[Tensor]:
        return inner_gradient(
            -self.options.forget_weight * forget,
            retain,
            self.fused.adapter.parameters(),
            similarity_weight=self.options.similarity_weight,
            differentiable=differentiable,
        )

    def _losses(self, plan: Plan, inner: int) -> tuple[Tensor, Tensor]:
        """Return the forget and the retain loss on the batches of an inner step; those of the outer step come last.

        Each in a pass of its own: derivatives of one would otherwise run through the rows of the other.
        """
        batches = replace(plan, step=plan.step * (self.options.inner_steps + 1) + inner)
        # Gradients that the forward pass took chunk by chunk could not be differentiated.
        whole = replace(self.fused, max_logit_bytes=None)
        with smooth_kernels():
            forget = whole.losses(batches, retain=False).forget
            retain = whole.losses(batches, forget=False).retain
        if forget is None or retain is None:
            raise ValueError("an outer iteration needs both losses")
        return forget, retain


@contextmanager
def _undone_if_diverged(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Within, the parameters may move; after a :class:`DivergedError` they are exactly what they were."""
    before = [parameter.detach().clone() for parameter in parameters]
    try:
        yield
    except DivergedError:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)
        raise
