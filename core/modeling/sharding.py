"""A frozen base model spread over the processes of a group, each of which holds a part of every decoder layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed import broadcast, get_world_size
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from core.modeling.decoder import decoder_layers


def shard(model: PreTrainedModel, device: torch.device) -> None:
    """Move the model to the devices of the process group, each of which keeps its part of the decoder layers.

    By PyTorch's FSDP2. A layer is whole on a device only while it computes or :func:`whole` is asked for one of its
    weights, so all processes must do the same passes in the same order. Embeddings, head and final norm are whole on
    each: they run apart from each other, and may share their weights. What is attached to the model later, such as an
    adapter, is no part of this: each process holds all of it.

    Args:
        model: frozen, on the CPU. Layers are moved one by one, so that no device has to hold it all.
        device: of this process.
    """
    mesh = init_device_mesh(device.type, (get_world_size(),))
    layers = decoder_layers(model)
    elsewhere = set(model.parameters()) - set(layers.parameters())
    for layer in layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    # With nothing of its own to gather, it is what lets the next layer be gathered while one computes.
    backbone = getattr(model, model.base_model_prefix)
    fully_shard(backbone, mesh=mesh, reshard_after_forward=True, ignored_params=elsewhere)
    model.to(device)


def is_sharded(model: PreTrainedModel) -> bool:
    """Whether :func:`shard` spread the model over several processes."""
    return any(isinstance(module, FSDPModule) for module in model.modules())


def whole(weight: Tensor) -> Tensor:
    """Return a weight as an ordinary tensor. One that is spread is gathered, for which every process must ask."""
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


@torch.no_grad()
def agree(parameters: Sequence[nn.Parameter]) -> None:
    """Give every process the values that the first one has.

    On a CPU they are equal anyway. Kernels of a GPU may add up in any order, and processes that differ in a bit
    come to decide differently in the end, so that one waits for another for ever.
    """
    for parameter in parameters:
        broadcast(parameter, src=0)
