from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor, nn
from transformers import PreTrainedModel

from core.data.collate import Batch
from core.modeling.decoder import decoder_layers


@dataclass
class Captured:
    """The hidden states of the forward pass inside :func:`capture`, if any were asked for."""

    states: list[Tensor] = field(default_factory=list)

    def at(self, batch: Batch) -> Tensor | None:
        """Return the states (N, D) at the scored places of the batch."""
        return self.states[-1][batch.line, batch.position] if self.states else None


@contextmanager
def capture(model: PreTrainedModel, layer: int | None) -> Iterator[Captured]:
    """Within, forward passes leave what comes out of the decoder layer, (B, T, D); None captures nothing."""
    captured = Captured()
    if layer is None:
        yield captured
        return

    def keep(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
        captured.states.append(output[0] if isinstance(output, tuple) else output)

    handle = decoder_layers(model)[layer].register_forward_hook(keep)
    try:
        yield captured
    finally:
        handle.remove()
