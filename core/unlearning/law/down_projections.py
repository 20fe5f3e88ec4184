from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from core.domain.errors import UnsupportedBaseModelError
from core.modeling.adapter import Linear, weight_of
from core.modeling.decoder import decoder_layers

_MAX_LAYERS = 5


@dataclass(frozen=True)
class DownProjection:
    """The linear layer by which a decoder layer's MLP writes into the residual stream."""

    layer: int  # of the decoder, from 0
    name: str  # of the module
    linear: Linear


def down_projections(model: PreTrainedModel, chosen: Sequence[int] | None) -> list[DownProjection]:
    """Return the down-projections of the chosen decoder layers, ascending; None chooses :func:`default_layers`.

    Raises:
        UnsupportedBaseModelError: there is no such layer, nothing behind it could read what it writes at a subject, or
            its MLP does not end in a single linear layer.
    """
    layers = decoder_layers(model)
    indices = default_layers(len(layers)) if chosen is None else sorted(set(chosen))
    if indices[-1] > len(layers) - 2:
        raise UnsupportedBaseModelError(
            f"decoder layer {indices[-1]} cannot be edited: an edit is read by the attention of a later layer, and "
            f"this base model has layers 0 to {len(layers) - 1}"
        )
    names = {module: name for name, module in model.named_modules()}
    found = [(index, _down_projection(layers[index], model.config.hidden_size)) for index in indices]
    return [DownProjection(index, names[linear], linear) for index, linear in found]


def default_layers(depth: int) -> list[int]:
    """Return a few layers that end at a third of the depth.

    Facts about a subject are read from the MLPs of early to middle layers (Meng et al., 2023): the published choices
    are 13 to 17 of 48 layers (GPT2-XL) and 3 to 8 of 28 (GPT-J).
    """
    last = depth // 3
    count = min(_MAX_LAYERS, max(1, depth // 6))
    return list(range(last - count + 1, last + 1))


def _down_projection(layer: nn.Module, width: int) -> Linear:
    """Return the one linear layer outside attention that writes the residual stream from another width."""
    found = [
        module
        for name, module in layer.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and "att" not in name and _writes(module, width)
    ]
    if len(found) != 1:
        raise UnsupportedBaseModelError(
            f"{len(found)} linear layers of a {type(layer).__name__} look like the end of its MLP: the method edits "
            "architectures that have exactly one"
        )
    return found[0]


def _writes(linear: Linear, width: int) -> bool:
    rows, columns = weight_of(linear).shape
    return rows == width != columns
