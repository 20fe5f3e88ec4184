from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from core.modeling.decoder import decoder_layers


@contextmanager
def recomputed(model: PreTrainedModel) -> Iterator[None]:
    """Within, a decoder layer keeps what it is given and nothing else, and computes anew in the backward pass.

    A step then keeps (B, T, D) for each layer instead of everything between, and passes each layer forward once more.
    Transformers' own switch acts in training mode alone, where dropout is on; here the model stays in evaluation mode,
    so that switch would do nothing without a word. PyTorch's checkpoint is the one that needs no input with a gradient:
    the base is frozen, and with the other one the adapter of the first layer would stay untrained.

    Afterwards, or after an error, the model is as it was. Within, second derivatives raise an error with some
    architectures; with the others they are right.
    """
    layers = list(decoder_layers(model))
    for layer in layers:
        # On the instance: hooks of the layer, those that gather a sharded one among them, stay outside and run once.
        layer.forward = partial(_forward, layer.forward)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(own: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return own(*inputs, **named)
    # There is no dropout, so no random state to bring back.
    return checkpoint(own, *inputs, use_reentrant=False, preserve_rng_state=False, **named)
