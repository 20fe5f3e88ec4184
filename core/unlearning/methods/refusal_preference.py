from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from core.domain.errors import EmptyBatchError
from core.modeling.scoring import TokenScores
from core.unlearning.forget_loss import ForgetBatch, Needs


@dataclass(frozen=True)
class RefusalPreference:
    """Preference of a refusal over the answer, both measured against the base model (DPO with "I don't know")."""

    beta: float = 0.1
    needs: ClassVar[Needs] = Needs(reference=True, rewritten=True)

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return the mean over rows of ``-2/beta log sigmoid(beta (gain of the refusal - gain of the answer))``.

        The gain is by how much the log-likelihood of all tokens of a completion, in nats, is above the base model's.

        References:
            Rafailov et al., NeurIPS 2023, https://arxiv.org/abs/2305.18290, equation 7; as an unlearning loss in
            Maini et al., COLM 2024, https://arxiv.org/abs/2401.06121. The factor 2 makes it comparable with NPO.
        """
        if not len(batch.scores):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        if batch.reference is None or batch.rewritten is None or batch.rewritten.reference is None:
            raise ValueError("this preference compares answer and refusal with the base model's logits")
        refusal = _gains(batch.rewritten.scores, batch.rewritten.reference)
        answer = _gains(batch.scores, batch.reference)
        return -2 / self.beta * functional.logsigmoid(self.beta * (refusal - answer)).mean()


def _gains(scores: TokenScores, reference: Tensor) -> Tensor:
    """Return how much likelier each row's completion became, (B,), in nats."""
    now = functional.cross_entropy(scores.logits.float(), scores.target, reduction="none")
    before = functional.cross_entropy(reference.float(), scores.target, reduction="none")
    _, row = scores.row.unique(return_inverse=True)
    return now.new_zeros(int(row.max()) + 1).index_add(0, row, before - now)
