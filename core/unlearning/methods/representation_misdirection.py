from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from core.data.batches import batches_by_length
from core.data.collate import collate
from core.domain.errors import EmptyBatchError, UnsupportedBaseModelError
from core.modeling.decoder import decoder_layers
from core.modeling.scoring import score
from core.unlearning.forget_loss import ForgetBatch, Needs, Surroundings
from core.unlearning.hidden_states import capture

_SAMPLE = 32  # forget rows behind the scale of the target: a mean length needs no more
_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class RepresentationMisdirection:
    """Hidden states of forget texts move to one fixed random direction (RMU)."""

    target: Tensor  # (D,)
    scale: float  # mean squared entry of the hidden states under the base model
    needs: Needs

    @classmethod
    def towards_random(cls, around: Surroundings, *, layer: int | None, steering: float) -> Self:
        """Return the loss with its target: a uniform draw, normalised, ``steering`` mean lengths of the states long.

        The published coefficient is an absolute length, which means another thing to each model and layer; here it is
        relative to the hidden states of the forget texts.

        Raises:
            UnsupportedBaseModelError: the model has no such layer.
        """
        depth = len(decoder_layers(around.base.model))
        chosen = depth // 2 if layer is None else layer
        if chosen >= depth:
            raise UnsupportedBaseModelError(f"layer is {chosen}, but the decoder layers are 0 to {depth - 1}")
        squares = _squared_lengths(around, chosen)
        width = squares.width
        generator = torch.Generator().manual_seed(around.seed)
        direction = torch.rand(width, generator=generator).to(around.base.device)
        length = squares.mean**0.5
        target = steering * length * direction / direction.norm()
        return cls(target=target, scale=squares.mean / width, needs=Needs(hidden=chosen))

    def __call__(self, batch: ForgetBatch) -> Tensor:
        """Return the mean squared distance of the hidden states from the target, over that of a state from zero.

        References:
            Li et al., ICML 2024, https://arxiv.org/abs/2403.03218, equation 1. Deviations: the relative length; the
            loss in units of the states' own square, so that one retain weight fits every model; the retain loss is one
            of ours instead of a distance of hidden states.
        """
        if not len(batch.states):
            raise EmptyBatchError("a forget batch without answer tokens has no mean loss")
        if batch.hidden is None:
            raise ValueError("representation misdirection reads hidden states")
        return (batch.hidden.float() - self.target).square().mean() / self.scale


@dataclass(frozen=True)
class _Squares:
    mean: float  # of the squared length
    width: int


@torch.no_grad()
def _squared_lengths(around: Surroundings, layer: int) -> _Squares:
    rows = around.forget[:_SAMPLE]
    lengths: list[Tensor] = []
    width = 0
    for places in batches_by_length(rows, max_batch_tokens=_BATCH_TOKENS):
        batch = collate([rows[place] for place in places], pad_id=around.base.pad_id).to(around.base.device)
        with capture(around.base.model, layer) as captured:
            score(around.base.model, batch)
        states = captured.at(batch)
        if states is None:
            raise ValueError("the layer was asked for")
        width = states.shape[-1]
        lengths.append(states[batch.content].float().square().sum(dim=-1))
    return _Squares(mean=float(torch.cat(lengths).mean()), width=width)
