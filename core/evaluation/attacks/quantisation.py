from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Literal

from torch import Tensor
from transformers import PreTrainedModel

from core.data.corpus import Example
from core.domain.report import AttackOutcome, AttackResult, QuantisedLayerSummary
from core.evaluation.attack import AttackScene, drawn, leak, num_tokens, on_reference, result_of
from core.modeling.adapter import Adapter, AnchoredLinear, target_linears, weight_of
from core.modeling.rounded_linear import RoundedLinear, added_weight, int8, nf4, nf4_step
from core.modeling.stand_ins import stand_ins

NAME = "quantisation"
Variant = Literal["int8_base", "nf4_base", "int8_merged", "nf4_merged"]
Rounding = Callable[[Tensor], Tensor]
OnReference = Callable[[Rounding], tuple[AttackOutcome | None, dict[str, str]]]


@dataclass(frozen=True)
class QuantisationBudget:
    """Which deployments are tried: the number format, and whether the adapter stays beside the base or is merged."""

    variants: tuple[Variant, ...] = ("int8_base", "nf4_base", "int8_merged", "nf4_merged")
    max_items: int = 128  # drawn by the seed where there are more
    seed: int = 0


@dataclass(frozen=True)
class Quantisation:
    """Serve the unlearned model in 8 or 4 bits and see what rounding brings back.

    Small changes of weights vanish where the weights are rounded after the adapter was merged into them. An adapter
    that stays beside a rounded base keeps its own precision, but the base is no longer the one it was trained on.
    The weights of every linear layer but the head are rounded to the nearest level, without calibration.

    References:
        Zhang et al., ICLR 2025, https://arxiv.org/abs/2410.16454.
    """

    budget: QuantisationBudget = field(default_factory=QuantisationBudget)

    def cost(self, scene: AttackScene) -> int:
        """See :class:`Attack`. Rounding itself is left out: a pass of a full batch takes a multiple of it."""
        deployed = sum(self._num_models(scene, variant) for variant in self.budget.variants)
        return (1 + deployed) * num_tokens(self._asked(scene))  # once without the attack

    def __call__(self, scene: AttackScene) -> list[AttackResult]:
        """Return a result for each deployment; that of 4 bits after merging says how large the change is, by layer."""
        examples = self._asked(scene)
        # The reference has no adapter to merge, so two deployments of one format are the same.
        reference = cache(partial(_on_reference, scene, tuple(examples)))
        return [
            result_of(NAME, variant, partial(self._variant, scene, variant, examples, reference))
            for variant in self.budget.variants
        ]

    def _variant(
        self, scene: AttackScene, variant: Variant, examples: Sequence[Example], on_reference: OnReference
    ) -> AttackResult:
        attacked = _leak_with(scene, scene.model, _rounded(scene.adapter, variant), examples)
        reference, missing = on_reference(_rounding(variant))
        return AttackResult(
            name=NAME,
            variant=variant,
            budget={
                "bits": 8 if _rounding(variant) is int8 else 4,
                "forward_tokens": self._num_models(scene, variant) * num_tokens(examples),
            },
            attacked=attacked,
            unattacked=scene.plain_leak("unlearned", examples),
            reference=reference,
            missing=dict(missing),
            layers=_changes(scene.adapter) if variant == "nf4_merged" else [],
        )

    def _asked(self, scene: AttackScene) -> list[Example]:
        return scene.encode(drawn(scene.forget, at_most=self.budget.max_items, seed=self.budget.seed))

    def _num_models(self, scene: AttackScene, variant: Variant) -> int:
        """Return how many models are run for a deployment; the reference is for the first one of each format."""
        first = next(other for other in self.budget.variants if _rounding(other) is _rounding(variant))
        return scene.num_models if variant == first else 1


def _rounding(variant: Variant) -> Rounding:
    return int8 if variant.startswith("int8") else nf4


def _rounded(adapter: Adapter, variant: Variant) -> dict[str, RoundedLinear]:
    """Return what stands in for the layers of the unlearned model.

    An anchored layer holds its base layer as a linear layer of the model: that one is rounded where the adapter stays
    beside it, and the anchored layer as a whole where it is merged.
    """
    every = _rounded_plain(adapter.model, _rounding(variant))
    if variant.endswith("_base"):
        return every
    merged = {name: RoundedLinear(layer, _rounding(variant)) for name, layer in adapter.layers.items()}
    within = {f"{name}.base" for name in merged}
    return merged | {name: layer for name, layer in every.items() if name not in within}


def _rounded_plain(model: PreTrainedModel, rounding: Rounding) -> dict[str, RoundedLinear]:
    linears = target_linears(model, "all-linear")
    return {name: RoundedLinear(linear, rounding) for name, linear in linears.items()}


def _on_reference(
    scene: AttackScene, examples: Sequence[Example], rounding: Rounding
) -> tuple[AttackOutcome | None, dict[str, str]]:
    return on_reference(scene, lambda model: _leak_with(scene, model, _rounded_plain(model, rounding), examples))


def _leak_with(
    scene: AttackScene, model: PreTrainedModel, layers: Mapping[str, RoundedLinear], examples: Sequence[Example]
) -> AttackOutcome:
    with stand_ins(model, layers):
        return leak(model, examples, pad_id=scene.base.pad_id)


def _changes(adapter: Adapter) -> list[QuantisedLayerSummary]:
    """Return how large the adapter's change is in each layer, in 4-bit steps: well below one, rounding undoes it."""
    return [
        QuantisedLayerSummary(module=name, max_change=float(steps.max()), median_change=float(steps.median()))
        for name, layer in adapter.layers.items()
        if len(steps := _steps(layer))
    ]


def _steps(layer: AnchoredLinear) -> Tensor:
    """Return the change of each weight of a layer over its step, flat; a block of zeros has none."""
    step = nf4_step(weight_of(layer.base))
    return (added_weight(layer).abs() / step)[step > 0]
