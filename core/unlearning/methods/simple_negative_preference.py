from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from core.domain.errors import EmptyBatchError
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
        scores = batch.scores
        if not len(scores):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        nll = functional.cross_entropy(scores.logits.float(), scores.target, reduction="none")  # (N,)
        _, row, length = scores.row.unique(return_inverse=True, return_counts=True)
        mean = nll.new_zeros(len(length)).index_add(0, row, nll) / length  # (B,)
        return -2 / self.beta * functional.logsigmoid(self.beta * (mean - self.delta)).mean()
