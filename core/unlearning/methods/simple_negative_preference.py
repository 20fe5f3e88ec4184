from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from core.domain.errors import EmptyBatchError
from core.modeling.token_states import nll
from core.unlearning.forget_loss import ForgetBatch, Needs


@dataclass(frozen=True)
class SimpleNegativePreference:
    """Negative preference without a reference model, on the mean loss of a row's tokens (SimNPO)."""

    beta: float = 4.5
    delta: float = 0.0
    needs: ClassVar[Needs] = Needs()

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return the mean over rows of ``-2/beta log sigmoid(beta (NLL / |y| - delta))``, not negative.

        The length in ``NLL / |y|`` is the number of answer places, so a long text does not saturate sooner than a
        short one.

        References:
            Fan et al., 2024, https://arxiv.org/abs/2410.07163, equation 4.
        """
        states = batch.states
        if not len(states):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        costs = states.each(nll)  # (N,)
        _, row, length = states.row.unique(return_inverse=True, return_counts=True)
        mean = costs.new_zeros(len(length)).index_add(0, row, costs) / length  # (B,)
        return -2 / self.beta * functional.logsigmoid(self.beta * (mean - self.delta)).mean()
