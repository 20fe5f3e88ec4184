"""Losses over a large vocabulary: logits made a few places at a time, against all of them at once.

Both sides are :class:`~core.modeling.token_states.TokenStates` with the losses of the training step, and differ in how
many places have logits at once. That is the whole rule by which a step chooses: chunks of ``MAX_LOGIT_BYTES`` where the
logits of a loss would take more, else one ordinary graph, which is as fast and needs no more than that.
"""

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from bench.performance.memory import extra_bytes
from bench.performance.row import Row, Target, seconds
from core.modeling.token_states import MAX_LOGIT_BYTES, PlaceLoss, TokenStates, nll, places_at_once
from core.unlearning.methods.inverted_hinge import inverted_hinge

LOSSES: dict[str, PlaceLoss] = {"IHL": inverted_hinge, "CE": nll}
_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Sizes:
    """What the losses are taken over. Width is that of the hidden states."""

    places: int = 4096
    vocabulary: int = 128 * 1024
    width: int = 4096 if torch.cuda.is_available() else 256  # a wide head would take two cores minutes a call
    max_logit_bytes: int = MAX_LOGIT_BYTES


def rows(sizes: Sizes, *, repeats: int) -> list[Row]:
    """Return the rows of the table that are about losses over a large vocabulary: memory and time of each."""
    whole = _states(sizes, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    chunked = replace(whole, chunk=places_at_once(sizes.vocabulary, max_logit_bytes=sizes.max_logit_bytes))
    found = []
    for name, loss in LOSSES.items():
        pairs = _pairs(loss, chunked, whole, repeats=repeats)
        about = f"{name} over a vocabulary of {sizes.vocabulary}, logits in chunks over all logits at once"
        how = (
            f"{sizes.places} tokens, width {sizes.width}, {whole.hidden.dtype}, {whole.hidden.device.type}; head, loss "
            f"and its gradient with respect to the hidden states, {chunked.chunk} tokens at a time and all at once"
        )
        peaks = " and ".join(f"{each.extra_bytes // _MEBIBYTE} MiB" for each in pairs[-1])
        memory = [ours.extra_bytes / theirs.extra_bytes for ours, theirs in pairs]
        time = [ours.seconds / theirs.seconds for ours, theirs in pairs]
        found += [
            Row.of(f"{about}: peak extra memory", memory, Target("at most", 0.15), f"{how}; {peaks}"),
            Row.of(f"{about}: time", time, Target("at most", 1.15), how),
        ]
    return found


def _states(sizes: Sizes, device: torch.device) -> TokenStates:
    """Return places in one chunk, in the dtype that models have on the device."""
    generator = torch.Generator().manual_seed(0)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    head = nn.Linear(sizes.width, sizes.vocabulary, bias=False).requires_grad_(False)
    head.weight.normal_(generator=generator)
    hidden = torch.randn(sizes.places, sizes.width, generator=generator).to(device, dtype)
    return TokenStates(
        hidden=hidden.requires_grad_(),
        head=head.to(device, dtype),
        target=torch.randint(sizes.vocabulary, (sizes.places,), generator=generator).to(device),
        row=torch.zeros(sizes.places, dtype=torch.long, device=device),
        chunk=sizes.places,
    )


@dataclass(frozen=True)
class _Call:
    seconds: float
    extra_bytes: int


def _pairs(loss: PlaceLoss, ours: TokenStates, theirs: TokenStates, *, repeats: int) -> list[tuple[_Call, _Call]]:
    """Return what a call of each side took, the two alternating, after a call of each on two chunks to warm up."""
    first = torch.arange(len(ours), device=ours.target.device) <= ours.chunk
    for side in (ours, theirs):
        _forward_and_backward(side.where(first), loss)
    return [(_call(ours, loss), _call(theirs, loss)) for _ in range(repeats)]


def _call(states: TokenStates, loss: PlaceLoss) -> _Call:
    taken: list[float] = []
    action = partial(_forward_and_backward, states, loss)
    extra = extra_bytes(lambda: taken.append(seconds(action)), states.hidden.device)
    return _Call(taken[0], extra)


def _forward_and_backward(states: TokenStates, loss: PlaceLoss) -> None:
    torch.autograd.grad(states.each(loss).mean(), states.hidden)
    if states.hidden.is_cuda:
        torch.cuda.synchronize()
