from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from core.modeling.adapter import LowRankPair, weight_of
from core.modeling.base_model import BaseModel
from core.unlearning.law.closed_form import LowRankEdit, Whitening, closed_form
from core.unlearning.law.down_projections import DownProjection
from core.unlearning.law.export import anchored_pairs, truncated
from core.unlearning.law.facts import Fact
from core.unlearning.law.states import edited, subject_keys, subject_states
from core.unlearning.law.washing import wash
from core.unlearning.moments import Moments, shrunk

Edits = dict[nn.Module, LowRankEdit]  # by down-projection
OnLayer = Callable[[int], None]  # told how many layers are done


@dataclass(frozen=True)
class Washing:
    """The facts of a base model, the layers that are to forget them, and what an edit should not disturb."""

    base: BaseModel
    layers: Sequence[DownProjection]  # ascending
    facts: Sequence[Fact]
    moments: Moments

    def whitening(self, layer: DownProjection) -> Whitening:
        """Return the coordinates of a layer. Made when needed: each is twice as large as its moments."""
        moment = self.moments.by_layer[layer.name].to(self.base.device)
        return Whitening.of(shrunk(moment, tokens=self.moments.tokens))

    def keys(self, layer: DownProjection, edits: Edits) -> Tensor:
        """Return what the layer reads at the subjects while these edits are in place, (in, n)."""
        with edited(edits):
            return subject_keys(self.base, layer.linear, self.facts)

    def states(self, edits: Edits) -> Tensor:
        """Return the hidden states behind the last layer at the subjects while these edits are in place, (n, D)."""
        with edited(edits):
            return subject_states(self.base, self.layers[-1].layer, self.facts)


@dataclass(frozen=True)
class LayerEdit:
    """What is added to one down-projection, as it can be exported, and how large it is."""

    layer: DownProjection
    pairs: tuple[LowRankPair, LowRankPair]  # a pair and its anchor: their difference is the edit
    relative_norm: float  # of the edit, over that of the weight
    disturbance: float  # root mean square of what the edit adds to kept inputs, over that of what the weight makes
    truncation_error: float  # share of the effect on the facts that did not fit the rank


def initial_edits(washing: Washing, targets: Tensor, *, norm_limit: float, on_layer: OnLayer) -> Edits:
    """Return the closed-form edits, each layer taking its share of what the ones before have left to do.

    Args:
        washing: the problem.
        targets: hidden states behind the last layer, (n, D), from ``targets.wash_targets``.
        norm_limit: see ``closed_form``.
        on_layer: progress.
    """
    edits: Edits = {}
    for place, layer in enumerate(washing.layers):
        residual = (targets - washing.states(edits)).T / (len(washing.layers) - place)  # (D, n)
        edits[layer.linear] = closed_form(
            residual,
            washing.keys(layer, edits),
            washing.whitening(layer),
            weight_norm=float(weight_of(layer.linear).float().norm()),
            norm_limit=norm_limit,
        )
        on_layer(place + 1)
    return edits


def washed_edits(
    washing: Washing, initial: Edits, *, beta_ratio: float, steps: int, rank: int, on_layer: OnLayer
) -> list[LayerEdit]:
    """Return the edits after the ascent, in the order of the layers; later layers read what earlier ones then write.

    Args:
        washing: the problem.
        initial: from the closed form.
        beta_ratio: see ``washing.wash``.
        steps: of ascent.
        rank: r; an edit is exported with twice that.
        on_layer: progress.
    """
    edits: Edits = {}
    found = []
    for place, layer in enumerate(washing.layers):
        keys, whitening = washing.keys(layer, edits), washing.whitening(layer)
        washed = wash(initial[layer.linear], keys, whitening, beta_ratio=beta_ratio, steps=steps)
        edits[layer.linear], lost = truncated(washed, keys, rank=2 * rank)
        found.append(_layer_edit(layer, edits[layer.linear], whitening, lost=lost, rank=rank))
        on_layer(place + 1)
    return found


def _layer_edit(layer: DownProjection, edit: LowRankEdit, whitening: Whitening, *, lost: float, rank: int) -> LayerEdit:
    weight = weight_of(layer.linear).double()
    return LayerEdit(
        layer=layer,
        pairs=anchored_pairs(edit, rank=rank),
        relative_norm=edit.norm / float(weight.norm()),
        disturbance=(whitening.disturbance(edit) ** 0.5) / float(whitening.rows(weight).norm()),
        truncation_error=lost,
    )
