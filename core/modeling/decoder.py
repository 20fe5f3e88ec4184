from torch import nn
from transformers import PreTrainedModel

from core.domain.errors import UnsupportedBaseModelError


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """Return the decoder layers: the one list of modules that is as long as the configuration says.

    Raises:
        UnsupportedBaseModelError: there is none, or more than one, or the configuration does not say.
    """
    depth = getattr(model.config, "num_hidden_layers", None)
    if depth is None:
        raise UnsupportedBaseModelError("the configuration names no num_hidden_layers")
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == depth]
    if len(lists) != 1:
        raise UnsupportedBaseModelError(f"{type(model).__name__} has no single list of {depth} decoder layers")
    return lists[0]
