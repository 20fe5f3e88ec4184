from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

# Float32 logits that may exist at once, 256 places of a vocabulary of 128k; a loss takes three to four times that while
# it works on them. More saves no time (``bench/performance/losses.py``); fewer rows make the head's product slow.
MAX_LOGIT_BYTES = 1 << 27

# Of the logits (n, V), float32, and the targets (n,) of some places: what each of them costs, (n,). No place may depend
# on another one.
PlaceLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
# The same with the base model's logits (n, V), float32 and without a graph, behind the model's own.
ComparingLoss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]

_Cost: TypeAlias = Callable[[Tensor, slice], Tensor]  # of the hidden states (n, D) of these places


@dataclass(frozen=True)
class TokenStates:
    """The last hidden states at some scored places, from which a loss has its logits made, a few places at a time.

    Logits (N, V) and what a loss derives from them are the largest tensors of a step where the vocabulary is large.
    But what a place costs depends on the logits of that place alone. So where not all places fit into
    ``chunk``, their costs and the gradients of these with respect to the hidden states, (N, D), are computed chunk by
    chunk in the forward pass, each logit once, and the backward pass only scales them. Where all fit, the graph is an
    ordinary one, with the same result up to the rounding of the head's product.
    """

    hidden: Tensor  # (N, D), the final norm included
    head: nn.Module  # makes (n, V) of (n, D); frozen
    target: Tensor  # (N,) int64
    row: Tensor  # (N,) int64, which row of the batch
    chunk: int  # at least 1: how many places may have logits at once
    reference: Tensor | None = None  # (N, D), the base model's hidden states at the same places

    def __len__(self) -> int:
        """Return N."""
        return len(self.target)

    def where(self, mask: Tensor) -> "TokenStates":
        """Return the places for which the mask (N,) holds."""
        reference = None if self.reference is None else self.reference[mask]
        return TokenStates(self.hidden[mask], self.head, self.target[mask], self.row[mask], self.chunk, reference)

    def each(self, loss: PlaceLoss) -> Tensor:
        """Return what each place costs, (N,) float32, with a graph to the hidden states.

        Raises:
            ValueError: the head is trained, but its places do not fit into one chunk: it would get no gradient.
        """
        return self._each(lambda hidden, places: loss(self._logits(hidden), self.target[places]))

    def each_against_base(self, loss: ComparingLoss) -> Tensor:
        """Return what each place costs, (N,) float32, given the base model's logits too.

        Raises:
            ValueError: the base model's hidden states are not there; or as :meth:`each`.
        """
        if self.reference is None:
            raise ValueError("this loss compares with the base model, whose hidden states are not there")
        reference = self.reference

        def cost(hidden: Tensor, places: slice) -> Tensor:
            with torch.no_grad():
                base = self._logits(reference[places])
            return loss(self._logits(hidden), base, self.target[places])

        return self._each(cost)

    def _logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.head(hidden)
        return logits.float()

    def _each(self, cost: _Cost) -> Tensor:
        if len(self) <= self.chunk:
            return cost(self.hidden, slice(None))
        if any(parameter.requires_grad for parameter in self.head.parameters()):
            raise ValueError("a head that is trained needs all places in one chunk")
        costs: Tensor = _Chunked.apply(self.hidden, cost, self.chunk)  # type: ignore[no-untyped-call]  # torch's own
        return costs


def places_at_once(vocabulary: int, *, max_logit_bytes: int = MAX_LOGIT_BYTES) -> int:
    """Return how many places may have logits at once, at least 1."""
    return max(1, max_logit_bytes // (4 * vocabulary))


def nll(logits: Tensor, target: Tensor) -> Tensor:
    """Return the negative log-likelihood of each place's target, (n,), in nats."""
    return functional.cross_entropy(logits, target, reduction="none")


class _Chunked(torch.autograd.Function):
    """The costs (N,) of hidden states (N, D), with their gradients taken on the way: no chunk is kept or made twice."""

    @staticmethod
    def forward(ctx: FunctionCtx, hidden: Tensor, cost: _Cost, chunk: int) -> Tensor:
        costs = hidden.new_empty(len(hidden), dtype=torch.float32)
        slopes = torch.empty_like(hidden)
        for start in range(0, len(hidden), chunk):
            places = slice(start, start + chunk)
            with torch.enable_grad():
                part = hidden[places].detach().requires_grad_()
                found = cost(part, places)
                (slopes[places],) = torch.autograd.grad(found.sum(), part)
            costs[places] = found.detach()
        ctx.save_for_backward(slopes)
        return costs

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():  # the slopes have no graph: a second derivative would lack terms without a word
            raise RuntimeError("gradients taken chunk by chunk cannot be differentiated: put all places in one chunk")
        (slopes,) = ctx.saved_tensors
        return (slopes * upstream.unsqueeze(1)).to(slopes.dtype), None, None
