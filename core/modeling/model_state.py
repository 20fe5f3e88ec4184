from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor
from transformers import PreTrainedModel

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by the size of an element in bytes

ModelState = dict[str, object]


def state_of(model: PreTrainedModel) -> ModelState:
    """Return by name everything of a model that a job could change; two states of an untouched model are equal.

    That is every attribute of every module (and so adapters, hooks and the training mode), every parameter and buffer
    (whether it is trained, has a gradient or was written to), and both configurations. A write is known by PyTorch's
    count of writes and, where one was made behind its back as through ``.data``, by a checksum of the bits. Reads the
    weights once and keeps none of them; what it refers to, it keeps alive, or an id could come to mean something else.
    """
    state: ModelState = {f"module {name}": _attributes(vars(module)) for name, module in model.named_modules()}
    tensors = chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False))
    state |= {f"tensor {name}": _facts(tensor) for name, tensor in tensors}
    generation = model.generation_config
    return state | {
        "configuration": model.config.to_dict(),
        "generation configuration": None if generation is None else generation.to_dict(),
    }


def changes(before: ModelState, after: ModelState) -> list[str]:
    """Return the names of what differs between two states, sorted."""
    missing = object()
    return sorted(
        name for name in before.keys() | after.keys() if before.get(name, missing) != after.get(name, missing)
    )


def _attributes(of_module: Mapping[str, object]) -> dict[str, object]:
    """Return attributes as they compare: of the dicts, which hold children, weights and hooks, each entry."""
    return {
        name: {key: _identity(entry) for key, entry in value.items()} if isinstance(value, dict) else _identity(value)
        for name, value in of_module.items()
    }


def _identity(value: object) -> object:
    """Return a plain value as it is; anything else as what equals itself alone."""
    return value if isinstance(value, bool | int | float | str | None) else (id(value), value)


def _facts(tensor: Tensor) -> tuple[object, ...]:
    bits = tensor.detach().flatten().view(_INTEGERS[tensor.element_size()])
    checksum = torch.hash_tensor(bits, dim=0).view(torch.int64).item()
    return tensor.data_ptr(), tensor._version, tensor.requires_grad, tensor.grad is None, checksum  # noqa: SLF001  # documented, in spite of its name
