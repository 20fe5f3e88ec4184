from collections.abc import Callable
from typing import Never, cast

from core.domain.catalog import (
    DpoIdkOptions,
    NpoOptions,
    OfmuOptions,
    RmuOptions,
    SamNpoOptions,
    SatImpOptions,
    SimNpoOptions,
    UndialOptions,
    WgaOptions,
)
from core.domain.options import TrainedOptions
from core.unlearning.forget_loss import ForgetLoss, Surroundings
from core.unlearning.methods.adversarial_labels import AdversarialLabels
from core.unlearning.methods.cross_entropy_unlearning import CrossEntropyUnlearning
from core.unlearning.methods.flat_logits import FlatLogits
from core.unlearning.methods.gradient_ascent import GradientAscent
from core.unlearning.methods.inverted_hinge import InvertedHinge
from core.unlearning.methods.max_entropy import MaxEntropy
from core.unlearning.methods.negative_preference import NegativePreference
from core.unlearning.methods.random_labels import RandomLabels
from core.unlearning.methods.refusal_preference import RefusalPreference
from core.unlearning.methods.representation_misdirection import RepresentationMisdirection
from core.unlearning.methods.self_distillation import SelfDistillation
from core.unlearning.methods.simple_negative_preference import SimpleNegativePreference
from core.unlearning.methods.weighted_ascent import WeightedAscent


def _inverted_hinge(_: TrainedOptions, __: Surroundings) -> ForgetLoss:
    return InvertedHinge()


def _gradient_ascent(_: TrainedOptions, __: Surroundings) -> ForgetLoss:
    return GradientAscent()


def _negative_preference(options: NpoOptions | SamNpoOptions, _: Surroundings) -> ForgetLoss:
    return NegativePreference(options.beta)


def _random_labels(_: TrainedOptions, around: Surroundings) -> ForgetLoss:
    return RandomLabels.drawn(around)


def _adversarial_labels(_: TrainedOptions, __: Surroundings) -> ForgetLoss:
    return AdversarialLabels()


def _simnpo(options: SimNpoOptions, _: Surroundings) -> ForgetLoss:
    return SimpleNegativePreference(options.beta, options.delta)


def _dpo_idk(options: DpoIdkOptions, _: Surroundings) -> ForgetLoss:
    return RefusalPreference(options.beta)


def _rmu(options: RmuOptions, around: Surroundings) -> ForgetLoss:
    return RepresentationMisdirection.towards_random(around, layer=options.layer, steering=options.steering)


def _undial(options: UndialOptions, _: Surroundings) -> ForgetLoss:
    return SelfDistillation(options.beta)


def _wga(options: WgaOptions, _: Surroundings) -> ForgetLoss:
    return WeightedAscent(saturation=options.beta)


def _satimp(options: SatImpOptions, _: Surroundings) -> ForgetLoss:
    return WeightedAscent(saturation=options.saturation, importance=options.importance)


def _max_entropy(_: TrainedOptions, __: Surroundings) -> ForgetLoss:
    return MaxEntropy()


def _ce_u(_: TrainedOptions, __: Surroundings) -> ForgetLoss:
    return CrossEntropyUnlearning()


def _pdu(_: TrainedOptions, __: Surroundings) -> ForgetLoss:
    return FlatLogits()


def _ofmu(options: OfmuOptions, _: Surroundings) -> ForgetLoss:
    return InvertedHinge() if options.forget_loss == "inverted_hinge" else GradientAscent()


# The forget loss behind each trained method of ``core.domain.catalog``. Each takes the options of its own methods.
METHODS: dict[str, Callable[[Never, Surroundings], ForgetLoss]] = {
    "loku": _inverted_hinge,
    "ihl": _inverted_hinge,
    "reglu": _inverted_hinge,
    "gradient_ascent": _gradient_ascent,
    "ga_fila": _gradient_ascent,
    "gd_fila": _gradient_ascent,
    "gd_rila": _gradient_ascent,
    "ga_gd_in_distribution": _gradient_ascent,
    "ga_gd_general": _gradient_ascent,
    "ga_kl_in_distribution": _gradient_ascent,
    "ga_kl_general": _gradient_ascent,
    "random_labels": _random_labels,
    "adversarial_labels": _adversarial_labels,
    "npo": _negative_preference,
    "sam_npo": _negative_preference,
    "simnpo": _simnpo,
    "dpo_idk": _dpo_idk,
    "rmu": _rmu,
    "undial": _undial,
    "wga": _wga,
    "satimp": _satimp,
    "max_entropy": _max_entropy,
    "ce_u": _ce_u,
    "pdu": _pdu,
    "ofmu": _ofmu,
}


def forget_loss(options: TrainedOptions, around: Surroundings) -> ForgetLoss:
    """Return the forget loss of a trained method, made from its options."""
    # The options of a name are of its class: the catalog is keyed by that name, and a test goes through all of them.
    make = cast("Callable[[TrainedOptions, Surroundings], ForgetLoss]", METHODS[options.name])
    return make(options, around)
