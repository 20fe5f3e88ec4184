from collections.abc import Sequence

import torch
from torch import Tensor

from core.modeling.token_states import TokenStates
from core.unlearning.forget_loss import ForgetBatch


def token_states(
    logits: Tensor, target: Sequence[int], row: Sequence[int] | None = None, reference: Tensor | None = None
) -> TokenStates:
    """Places with these logits and true tokens; of one row unless told otherwise. They are their own hidden states."""
    labels = torch.tensor(target, dtype=torch.long)
    rows = torch.zeros_like(labels) if row is None else torch.tensor(row)
    return TokenStates(logits, torch.nn.Identity(), labels, rows, chunk=len(labels), reference=reference)


def forget_batch(
    logits: Tensor,
    target: Sequence[int],
    *,
    row: Sequence[int] | None = None,
    place: Sequence[int] | None = None,
    reference: Tensor | None = None,
    hidden: Tensor | None = None,
    rewritten: TokenStates | None = None,
) -> ForgetBatch:
    """A batch of content places, the first ones of the forget set unless told otherwise."""
    return ForgetBatch(
        states=token_states(logits, target, row, reference),
        place=torch.arange(len(target)) if place is None else torch.tensor(place),
        hidden=hidden,
        rewritten=rewritten,
    )


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Normally distributed logits of which no two are alike."""
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ascent(logits: Tensor, target: Sequence[int]) -> Tensor:
    """The gradient of the sum of ``log p[y]`` with respect to the logits: ``onehot(y) - p``."""
    p = logits.detach().float().softmax(dim=-1)
    return torch.nn.functional.one_hot(torch.tensor(target), p.shape[-1]) - p


def gradient(loss: Tensor, logits: Tensor) -> Tensor:
    """The gradient of a loss with respect to the logits."""
    (found,) = torch.autograd.grad(loss, logits)
    return found
