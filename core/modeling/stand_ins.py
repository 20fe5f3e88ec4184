from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn
from transformers import PreTrainedModel


@contextmanager
def stand_ins(model: PreTrainedModel, modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """Within, other modules are in the places of some of the model's; afterwards, or after an error, all is as it was.

    The model's own modules are taken out of its tree and put back. Nothing is written into them, so there is nothing
    to restore bit by bit.

    Args:
        model: in whose tree they stand.
        modules: by the name of the place; no place within another.
    """
    own = {name: model.get_submodule(name) for name in modules}
    try:
        for name, module in modules.items():
            _put(model, name, module)
        yield
    finally:
        for name, module in own.items():
            _put(model, name, module)


def _put(model: PreTrainedModel, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
