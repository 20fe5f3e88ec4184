from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.data.collate import Batch, collate
from core.domain.errors import UnsupportedBaseModelError
from core.modeling.base_model import BaseModel
from core.modeling.decoder import decoder_layers
from core.modeling.scoring import score
from core.unlearning.law.facts import Fact
from core.unlearning.law.states import subject_index, subject_states

# As published (MEMIT's hyper-parameters, which LAW takes over), but for the rate: 0.5 in absolute units there means
# another thing to every model, so here it is in root mean squares of the hidden state.
_RATE = 0.1
_DECAY = 0.5
_ESSENCE_WEIGHT = 0.0625
_LONGEST = 0.75  # of the hidden state
_ENOUGH = 0.05  # a loss at which a fact is left alone
_BATCH_TOKENS = 4096


def fact_batches(facts: Sequence[Fact]) -> list[list[Fact]]:
    """Return the facts in groups that are optimised together; what a fact gets does not depend on its group."""
    groups: list[list[Fact]] = []
    room = 0
    for fact in facts:
        if fact.num_tokens > room:
            groups.append([])
            room = _BATCH_TOKENS
        groups[-1].append(fact)
        room -= fact.num_tokens
    return groups


def wash_targets(
    base: BaseModel, layer: int, facts: Sequence[Fact], *, steps: int, on_step: Callable[[int], None]
) -> Tensor:
    """Return the hidden states that make the model end the text where it would have stated each fact, (n, D) float32.

    For each fact a shift of the hidden state behind the layer, at the last subject token, is optimised by Adam: the
    end of sequence becomes likely wherever the completion goes on, alone and in contexts, while what follows the
    subject otherwise stays likely, and the shift stays short.

    Args:
        base: without an adapter.
        layer: the last decoder layer that will be edited.
        facts: at least one.
        steps: of Adam, at most.
        on_step: told the number of steps done, over all groups of facts.

    References:
        Meng et al., ICLR 2023, https://arxiv.org/abs/2210.07229, section 4.3, with the target of Wang et al., ICLR
        2025, https://arxiv.org/abs/2405.16720. Deviations: the rate is relative to the hidden state; the target is
        asked for at every place of the completion and not only at the first, where all answers may begin alike and a
        subject has no say.

    Raises:
        UnsupportedBaseModelError: the tokenizer has no end of sequence.
    """
    found = []
    for place, group in enumerate(fact_batches(facts)):
        search = _Search.of(base, layer, group)
        shift = torch.zeros_like(search.initial, requires_grad=True)
        optimizer = torch.optim.Adam([shift], lr=_RATE)
        for step in range(steps):
            settled = _take_step(search, shift, optimizer)
            on_step(place * steps + step + 1)
            if settled:
                break
        found.append(search.initial + search.delta(shift.detach()))
    return torch.cat(found)


@dataclass(frozen=True)
class _Search:
    """Some facts, and what is asked of a shift of their hidden states."""

    base: BaseModel
    layer: nn.Module
    target: int  # the token to be said instead
    batch: Batch  # every row that states a fact, then every subject alone
    owner: Tensor  # (R,) int64, which fact a row is of
    subjects: tuple[list[int], list[int]]  # their places in a batch of (R, T, ...)
    num_stated: int  # how many of the rows state a fact
    initial: Tensor  # (n, D) hidden states of the plain rows
    essence: Tensor  # (n, V) log-probabilities of what follows each subject

    @classmethod
    def of(cls, base: BaseModel, layer: int, facts: Sequence[Fact]) -> "_Search":
        """Return the search for these facts."""
        target = base.tokenizer.eos_token_id
        if target is None:
            raise UnsupportedBaseModelError("the tokenizer has no end of sequence, which is what law washes facts to")
        stated = [(owner, row) for owner, fact in enumerate(facts) for row in fact.stated]
        every = stated + [(owner, fact.essence) for owner, fact in enumerate(facts)]
        batch = collate([row.example for _, row in every], pad_id=base.pad_id).to(base.device)
        with torch.no_grad():
            essence = _log_probs(score(base.model, batch).logits[batch.row >= len(stated)])
        return cls(
            base=base,
            layer=decoder_layers(base.model)[layer],
            target=int(target),
            batch=batch,
            owner=torch.tensor([owner for owner, _ in every], device=base.device),
            subjects=subject_index([row for _, row in every]),
            num_stated=len(stated),
            initial=subject_states(base, layer, facts),
            essence=essence,
        )

    def delta(self, shift: Tensor) -> Tensor:
        """Return a shift, which is in root mean squares of the hidden states, as a difference of them, (n, D)."""
        unit: Tensor = self.initial.square().mean(dim=1, keepdim=True).sqrt()
        return shift * unit

    def loss(self, delta: Tensor) -> Tensor:
        """Return what each fact pays, (n,)."""
        with self._shifted(delta):
            log_probs = _log_probs(score(self.base.model, self.batch).logits)  # (N, V)
        content = (self.batch.row < self.num_stated) & self.batch.content
        owner = self.owner[self.batch.row[content]]
        unsaid = -log_probs[content, self.target]
        washing = torch.zeros(len(delta), device=delta.device).index_add(0, owner, unsaid) / torch.bincount(owner)
        now = log_probs[self.batch.row >= self.num_stated]  # (n, V)
        divergence = (now.exp() * (now - self.essence)).sum(dim=-1)
        decay = delta.norm(dim=1) / self.initial.norm(dim=1).square()
        each: Tensor = washing + _ESSENCE_WEIGHT * divergence + _DECAY * decay
        return each

    @contextmanager
    def _shifted(self, delta: Tensor) -> Iterator[None]:
        """Within, the layer's output is shifted at the subject of each row by its fact's delta."""

        def shift(
            _module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]
        ) -> Tensor | tuple[Tensor, ...]:
            hidden = output[0] if isinstance(output, tuple) else output  # (B, T, D)
            moved = hidden.clone()
            moved[self.subjects] += delta[self.owner].to(hidden.dtype)
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        handle = self.layer.register_forward_hook(shift)
        try:
            yield
        finally:
            handle.remove()


def _take_step(search: _Search, shift: Tensor, optimizer: torch.optim.Optimizer) -> bool:
    """Move the shifts of the facts that are not settled yet; return whether all were."""
    loss = search.loss(search.delta(shift))  # (n,)
    settled = loss.detach() < _ENOUGH
    if settled.all():
        return True
    before = shift.detach().clone()
    optimizer.zero_grad(set_to_none=True)
    loss.sum().backward()
    optimizer.step()
    with torch.no_grad():
        shift[settled] = before[settled]  # Adam's momentum would carry them on
        longest = _LONGEST * shift.shape[1] ** 0.5
        shift.mul_((longest / shift.norm(dim=1, keepdim=True).clamp(min=1e-30)).clamp(max=1.0))
    return False


def _log_probs(logits: Tensor) -> Tensor:
    return logits.float().log_softmax(dim=-1)
