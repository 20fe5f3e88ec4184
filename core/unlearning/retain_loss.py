from torch import Tensor
from torch.nn import functional

from core.domain.options import RetainLoss
from core.modeling.scoring import TokenScores


def retain_loss(kind: RetainLoss, scores: TokenScores, reference: Tensor | None) -> Tensor:
    """Return what is minimised to keep: a mean over the scored places, so padding and prompts are in no average.

    Args:
        kind: ``cross_entropy`` against the texts, or ``kl``, the divergence ``KL(p_base || p)`` from the base model's
            predictions, in nats (Yao et al., ACL 2024; the published code averages over padding as well).
        scores: the retain places of a batch, trailing tokens included.
        reference: (N, V) the base model's logits at these places, for ``kl``.

    Returns:
        Scalar, float32.
    """
    log_p = scores.logits.float().log_softmax(dim=-1)
    if kind == "kl":
        if reference is None:
            raise ValueError("kl compares with the base model's logits")
        base = reference.float().log_softmax(dim=-1)
        return functional.kl_div(log_p, base, reduction="batchmean", log_target=True)
    return functional.nll_loss(log_p, scores.target)
