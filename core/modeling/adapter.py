from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from core.domain.errors import UnsupportedBaseModelError
from core.modeling.sharding import whole

# Conv1D, of GPT-2, counts as well; to a type checker it is an unknown module of an untyped library.
Linear: TypeAlias = nn.Linear


@dataclass(frozen=True)
class LowRankPair:
    """A product ``B A`` of LoRA's two factors, float32."""

    a: Tensor  # (r, in)
    b: Tensor  # (out, r)


class AnchoredLinear(nn.Module):
    """A frozen linear layer with ``s (B A - B0 A0) x`` added.

    The published FILA code puts ``W - s B0 A0`` in place of the base weight, so its adapter is wrong on the base model
    that everyone has. Here the base stays as it is and the frozen anchor pair takes the initial product back: the same
    function, the same gradients, and a difference to the base that is an ordinary low-rank adapter.

    The adapter computes in its own float32, whatever the dtype of the base: the two products start equal, so
    in bfloat16 their difference would be rounding noise.
    """

    anchor_a: Tensor
    anchor_b: Tensor

    def __init__(self, base: Linear, *, initial: LowRankPair, anchor: LowRankPair, scaling: float) -> None:
        super().__init__()
        self.base = base
        self.scaling = scaling
        self.enabled = True
        self.a = nn.Parameter(initial.a.clone())
        self.b = nn.Parameter(initial.b.clone())
        self.register_buffer("anchor_a", anchor.a.clone())
        self.register_buffer("anchor_b", anchor.b.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., out) for ``x`` of shape (..., in)."""
        y: Tensor = self.base(x)
        if not self.enabled:
            return y
        # Both products as one of rank 2r: two narrow matrix products instead of four.
        narrow = functional.linear(x.to(self.a.dtype), torch.cat([self.a, self.anchor_a]))  # (..., 2r)
        wide = functional.linear(narrow, torch.cat([self.b, -self.anchor_b], dim=1))  # (..., out)
        return y + (self.scaling * wide).to(y.dtype)


@dataclass(frozen=True)
class Adapter:
    """The anchored layers of a model by their module names, sorted."""

    model: PreTrainedModel
    layers: dict[str, AnchoredLinear]

    def parameters(self) -> list[nn.Parameter]:
        """Return the trained tensors, in a fixed order."""
        return [parameter for layer in self.layers.values() for parameter in (layer.a, layer.b)]

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that defines the adapter, trained pairs and anchors, by name."""
        return {
            f"{name}.{part}": getattr(layer, part).detach()
            for name, layer in self.layers.items()
            for part in ("a", "b", "anchor_a", "anchor_b")
        }

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over tensors as :meth:`tensors` gave them."""
        for name, value in self.tensors().items():
            value.copy_(tensors[name])

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within, the model is the base model, bit for bit."""
        self._enable(False)
        try:
            yield
        finally:
            self._enable(True)

    def detach(self) -> None:
        """Put the base layers back, so that the model is the untouched base model again."""
        for name, layer in self.layers.items():
            _replace(self.model, name, layer.base)

    def _enable(self, enabled: bool) -> None:  # noqa: FBT001  # private, and named at both calls
        for layer in self.layers.values():
            layer.enabled = enabled


def target_linears(model: PreTrainedModel, targets: Sequence[str] | Literal["all-linear"]) -> dict[str, Linear]:
    """Return the linear layers that the names select, by module name, sorted.

    A name selects a layer when it is the layer's full name or its last components, as in PEFT. ``all-linear`` is
    every linear layer but the output head.

    Raises:
        UnsupportedBaseModelError: a name selects nothing; the message lists what there is.
    """
    head = model.get_output_embeddings()
    every = {
        name: module
        for name, module in sorted(model.named_modules())
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }
    if targets == "all-linear":
        return every
    for target in targets:
        if not any(_matches(name, target) for name in every):
            known = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in every}))
            raise UnsupportedBaseModelError(f"a name in target_modules selects no linear layer; there are: {known}")
    return {name: module for name, module in every.items() if any(_matches(name, target) for target in targets)}


def attach(model: PreTrainedModel, pairs: dict[str, tuple[LowRankPair, LowRankPair]], *, scaling: float) -> Adapter:
    """Replace the named linear layers of the model by anchored ones and return them.

    Args:
        model: its weights are not touched, only wrapped.
        pairs: for each module name the initial pair and its anchor.
        scaling: ``lora_alpha / r``.
    """
    layers = {}
    for name, (initial, anchor) in sorted(pairs.items()):
        base = model.get_submodule(name)
        if not isinstance(base, nn.Linear | Conv1D):
            raise TypeError(f"{name} is a {type(base).__name__}, not a linear layer")
        layers[name] = AnchoredLinear(base, initial=initial, anchor=anchor, scaling=scaling)
        _replace(model, name, layers[name])
    return Adapter(model=model, layers=layers)


def weight_of(layer: Linear) -> Tensor:
    """Return the weight as (out, in), gathered where it is spread. Conv1D, of GPT-2, keeps it transposed."""
    weight = whole(layer.weight.detach())
    return weight.T if isinstance(layer, Conv1D) else weight


def _matches(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _replace(model: PreTrainedModel, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
