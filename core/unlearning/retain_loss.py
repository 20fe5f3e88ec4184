from torch import Tensor
from torch.nn import functional

from core.domain.options import RetainLoss
from core.modeling.token_states import TokenStates, nll


def retain_loss(kind: RetainLoss, states: TokenStates) -> Tensor:
    """Return what is minimised to keep: a mean over the scored places, so padding and prompts are in no average.

    Args:
        kind: ``cross_entropy`` against the texts, or ``kl``, the divergence ``KL(p_base || p)`` from the base model's
            predictions, in nats (Yao et al., ACL 2024; the published code averages over padding as well).
        states: the retain places of a batch, trailing tokens included; for ``kl`` with the base model's states.

    Returns:
        Scalar, float32.
    """
    costs = states.each_against_base(_divergence) if kind == "kl" else states.each(nll)
    return costs.mean()


def _divergence(logits: Tensor, base: Tensor, _: Tensor) -> Tensor:
    log_p, log_base = logits.log_softmax(dim=-1), base.log_softmax(dim=-1)  # (n, V)
    return functional.kl_div(log_p, log_base, reduction="none", log_target=True).sum(dim=-1)
