from collections.abc import Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load, save
from torch import Tensor

from core.data.corpus import Example
from core.domain.options import TrainedOptions
from core.domain.report import FisherSummary
from core.modeling.adapter import Linear, LowRankPair, weight_of
from core.modeling.base_model import BaseModel
from core.unlearning.features import output_features
from core.unlearning.fisher import FisherPass, retain_fisher, row_importance
from core.unlearning.initializers.fila import fila
from core.unlearning.initializers.kronecker_fila import kronecker_fila
from core.unlearning.initializers.lora import plain_lora
from core.unlearning.initializers.pissa import pissa
from core.unlearning.initializers.rila import rila
from core.unlearning.moments import measure_moments

PAPER_EPSILON = 1e-5
# Of the mean of a layer's retain Fisher information.
DEFAULT_EPSILON_SHARE = 1.0
DEFAULT_KRONECKER_EPSILON_SHARE = 0.01


@dataclass(frozen=True)
class RetainFisher:
    """The Fisher information of the retain set by layer, and where it came from.

    Of each layer it is the diagonal, (out, in), or for ``kronecker_fila`` the input factor, (in, in).
    """

    by_layer: dict[str, Tensor]  # float32
    items: int
    from_cache: bool

    def dump(self) -> bytes:
        """Return the matrices as a safetensors payload."""
        return save({name: value.cpu().contiguous() for name, value in self.by_layer.items()})


@dataclass(frozen=True)
class RetainStatistics:
    """What initializer and regulariser need to know about the retain set; what nobody needs is absent."""

    fisher: RetainFisher | None = None
    features: dict[str, Tensor] | None = None  # (n, out) of each layer, as ``core.unlearning.features`` gives them


@dataclass(frozen=True)
class Pairs:
    """The initial pairs and anchors of every layer, and what they were made from."""

    by_layer: dict[str, tuple[LowRankPair, LowRankPair]]
    fisher: FisherSummary | None = None


def parse_fisher(payload: bytes, *, items: int, device: torch.device, from_cache: bool) -> RetainFisher:
    """Return what :meth:`RetainFisher.dump` stored."""
    by_layer = {name: value.to(device) for name, value in load(payload).items()}
    return RetainFisher(by_layer=by_layer, items=items, from_cache=from_cache)


def measure_retain_fisher(
    base: BaseModel, layers: dict[str, Linear], retain: Sequence[Example], options: TrainedOptions
) -> RetainFisher:
    """Return the retain Fisher. It depends on the base model and the retain set alone, so callers cache it."""
    if options.initializer == "kronecker_fila":
        by_layer = measure_moments(base, layers, retain).by_layer
    else:
        by_layer = retain_fisher(base.model, layers, retain, fisher_pass(base, options))
    return RetainFisher(by_layer=by_layer, items=len(retain), from_cache=False)


def fisher_pass(base: BaseModel, options: TrainedOptions) -> FisherPass:
    """Return how this job takes gradients."""
    return FisherPass(pad_id=base.pad_id, per_example=options.fisher != "paper")


def importance_of_rows(
    base: BaseModel, layers: dict[str, Linear], forget: Sequence[Example], retain: RetainFisher, options: TrainedOptions
) -> tuple[dict[str, Tensor], FisherSummary]:
    """Return the importance of each output row of each layer, and what stood behind it.

    The epsilon keeps entries that no retain example touches from dividing by zero. The published 1e-5 is larger than
    almost every Fisher entry of a real model, which silently turns the relative importance into the absolute one; so
    here it is a share of each matrix's mean, and the report says how much of the denominator it explains.

    The retain Fisher is used up: its matrices become the denominators.
    """
    epsilon_sum = total = 0.0
    for diagonal in retain.by_layer.values():
        epsilon = _epsilon(diagonal, options)
        diagonal.add_(epsilon)  # in place: these matrices are as large as the base model
        epsilon_sum += epsilon * diagonal.numel()
        total += float(diagonal.sum(dtype=torch.float64))
    rows = row_importance(base.model, layers, forget, fisher_pass(base, options), denominator=retain.by_layer)
    summary = FisherSummary(
        mode=options.fisher,
        retain_items=retain.items,
        retain_from_cache=retain.from_cache,
        epsilon_share=epsilon_sum / total,
    )
    return rows, summary


def _epsilon(diagonal: Tensor, options: TrainedOptions) -> float:
    if options.fisher == "paper":
        return PAPER_EPSILON if options.fisher_epsilon is None else options.fisher_epsilon
    share = DEFAULT_EPSILON_SHARE if options.fisher_epsilon is None else options.fisher_epsilon
    return _positive(share * float(diagonal.mean()))


def _positive(epsilon: float) -> float:
    """Return the epsilon, or one for a layer that no retain example moves: it has no relative importance."""
    return epsilon if epsilon > 0 else 1.0


def _fila_pairs(
    base: BaseModel, layers: dict[str, Linear], forget: Sequence[Example], retain: RetainFisher, options: TrainedOptions
) -> Pairs:
    scaling = options.lora_alpha / options.r
    importance, summary = importance_of_rows(base, layers, forget, retain, options)
    balanced = options.fisher != "paper"
    pairs = {
        name: fila(
            weight_of(layer), row_importance=importance[name], rank=options.r, scaling=scaling, balanced=balanced
        )
        for name, layer in layers.items()
    }
    return Pairs(pairs, fisher=summary)


def _kronecker_fila_pairs(
    base: BaseModel, layers: dict[str, Linear], forget: Sequence[Example], retain: RetainFisher, options: TrainedOptions
) -> Pairs:
    share = DEFAULT_KRONECKER_EPSILON_SHARE if options.fisher_epsilon is None else options.fisher_epsilon
    mine = measure_moments(base, layers, forget).by_layer
    generator = torch.Generator().manual_seed(options.seed)
    pairs, epsilon_sum, total = {}, 0.0, 0.0
    for name, layer in layers.items():
        retained = retain.by_layer[name].to(base.device)
        epsilon = _positive(share * float(retained.diagonal().mean()))
        epsilon_sum += epsilon * len(retained)
        total += float(retained.trace()) + epsilon * len(retained)
        pairs[name] = kronecker_fila(
            weight_of(layer),
            forget_inputs=mine[name].to(base.device),
            retain_inputs=retained,
            epsilon=epsilon,
            rank=options.r,
            generator=generator,
        )
    summary = FisherSummary(
        mode="kronecker",
        retain_items=retain.items,
        retain_from_cache=retain.from_cache,
        epsilon_share=epsilon_sum / total,
    )
    return Pairs(pairs, fisher=summary)


def initial_pairs(
    base: BaseModel,
    layers: dict[str, Linear],
    forget: Sequence[Example],
    about: RetainStatistics,
    options: TrainedOptions,
) -> Pairs:
    """Return the pairs that the chosen initializer gives each layer.

    Args:
        base: the model without an adapter.
        layers: those that get one.
        forget: what the Fisher information or the features of the forget set come from.
        about: what the initializer needs of the retain set; its Fisher information is used up.
        options: the choice and its knobs.
    """
    scaling = options.lora_alpha / options.r
    match options.initializer:
        case "fila" if about.fisher is not None:
            return _fila_pairs(base, layers, forget, about.fisher, options)
        case "kronecker_fila" if about.fisher is not None:
            return _kronecker_fila_pairs(base, layers, forget, about.fisher, options)
        case "rila" if about.features is not None:
            mine = output_features(base, layers, forget[: options.rila_items])
            generator = torch.Generator().manual_seed(options.seed)
            return Pairs(
                {
                    name: rila(
                        weight_of(layer),
                        forget_features=mine[name],
                        retain_features=about.features[name],
                        rank=options.r,
                        beta=options.rila_beta,
                        generator=generator,
                    )
                    for name, layer in layers.items()
                }
            )
        case "pissa":
            return Pairs(
                {name: pissa(weight_of(layer), rank=options.r, scaling=scaling) for name, layer in layers.items()}
            )
        case "lora":
            return Pairs(plain_pairs(layers, options))
    raise ValueError(f"initializer {options.initializer} needs statistics of the retain set")


def plain_pairs(layers: dict[str, Linear], options: TrainedOptions) -> dict[str, tuple[LowRankPair, LowRankPair]]:
    """Return plain LoRA's pairs: the start of a run, and the shapes that a checkpoint is loaded into."""
    generator = torch.Generator().manual_seed(options.seed)
    return {name: plain_lora(weight_of(layer), rank=options.r, generator=generator) for name, layer in layers.items()}
