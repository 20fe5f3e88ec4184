from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from core.domain.errors import EmptyBatchError
from core.unlearning.forget_loss import ForgetBatch, Needs


@dataclass(frozen=True)
class InvertedHinge:
    """Forget loss that pushes the true token below its strongest rival (IHL)."""

    needs: ClassVar[Needs] = Needs()

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return the mean inverted hinge loss over the answer tokens of a batch.

        With ``p`` the predicted distribution and ``y`` the true token, a place costs ``1 + p[y] - max(p[v], v != y)``.
        Unlike gradient ascent it is bounded and its gradient vanishes once the rival has won, so a token that is
        forgotten is left alone.

        The softmax runs in float32: in bfloat16 the sum loses everything below 4e-3. The rival comes from the two
        largest probabilities, so neither a one-hot mask nor a copy of the distribution is made.

        Args:
            batch: the ``N`` answer places of forget rows.

        Returns:
            Scalar in ``[0, 2]``, float32 whatever the dtype of the logits.

        Raises:
            EmptyBatchError: the batch holds no answer token, so the mean is undefined.

        References:
            Cha et al., ICLR 2025, equation 4, https://openreview.net/forum?id=1ExfUpmIW4.
        """
        if not len(batch.states):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        return batch.states.each(inverted_hinge).mean()


def inverted_hinge(logits: Tensor, target: Tensor) -> Tensor:
    """Return what each place costs, (n,) in [0, 2], from logits (n, V) and true tokens (n,)."""
    probabilities = logits.softmax(dim=-1)  # (n, V)
    p_true = probabilities.gather(1, target.unsqueeze(1)).squeeze(1)  # (n,)
    top = probabilities.topk(2, dim=-1)  # (n, 2)
    true_leads = top.indices[:, 0] == target
    p_rival = top.values[:, 0].where(~true_leads, top.values[:, 1])  # (n,)
    return 1.0 + p_true - p_rival
