from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed import broadcast

from core.modeling.adapter import Adapter
from core.modeling.sharding import agree
from core.unlearning.step import Plan, StepLosses, TakeStep


@dataclass(frozen=True)
class AgreedStep:
    """A step that all processes of a group take, and after which they have the adapter and the losses of the first."""

    take: TakeStep
    adapter: Adapter

    def __call__(self, plan: Plan, optimizer: torch.optim.Optimizer) -> StepLosses:
        """See :class:`~core.unlearning.step.TakeStep`."""
        losses = self.take(plan, optimizer)
        parameters = self.adapter.parameters()
        agree(parameters)
        return _agreed(losses, parameters[0].device)


def _agreed(losses: StepLosses, device: torch.device) -> StepLosses:
    """Return the losses of the first process. Which of them there are depends on the plan alone."""
    return StepLosses(*(None if value is None else _first(value, device) for value in (losses.forget, losses.retain)))


def _first(value: float, device: torch.device) -> float:
    told: Tensor = torch.tensor(value, dtype=torch.float64, device=device)
    broadcast(told, src=0)
    return float(told)
