"""Diagonal empirical Fisher information of the target layers, exactly and per example.

For one example the gradient of a linear layer's weight is ``G^T X``: ``X`` (T, in) its inputs, ``G`` (T, out)
the gradients of its outputs. A batched backward pass gives both for every row, so per-example gradients cost one small
product each instead of one backward pass each, and no gradient of the base weights is ever stored.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from core.data.batches import batches_by_length
from core.data.collate import Batch, collate
from core.data.corpus import Example
from core.domain.errors import UnsupportedBaseModelError
from core.modeling.adapter import Linear, weight_of
from core.modeling.scoring import score

# Called for each example (or batch, in paper mode) and layer: name, gradient (out, in) float32, number of its labels.
Consume = Callable[[str, Tensor, int], None]


@dataclass(frozen=True)
class _Tape:
    """What one pass through the model left of each layer: what it was given, and how its output should change."""

    inputs: dict[str, Tensor] = field(default_factory=dict)
    gradients: dict[str, Tensor] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget the batch."""
        self.inputs.clear()
        self.gradients.clear()


@dataclass(frozen=True)
class FisherPass:
    """How gradients are taken.

    ``per_example`` is the empirical Fisher: one squared gradient for each example. Otherwise the published estimate:
    the squared gradient of each batch's mean, which shrinks with the batch (Cha et al., official code).
    """

    pad_id: int
    max_batch_tokens: int = 4096
    per_example: bool = True
    paper_batch: int = 2  # the batch size of the official README; the estimate depends on it


def retain_fisher(
    model: PreTrainedModel, layers: dict[str, Linear], examples: Sequence[Example], how: FisherPass
) -> dict[str, Tensor]:
    """Return for each layer the diagonal Fisher information (out, in), float32 on the model's device.

    ``F = sum_e n_e g_e^2 / sum_e n_e`` with ``g_e`` the gradient of the example's mean cross-entropy over its
    ``n_e`` labels.

    Raises:
        UnsupportedBaseModelError: a layer runs twice in one pass, or its inputs cannot be told apart by example.
    """
    fisher = {name: torch.zeros_like(weight_of(layer), dtype=torch.float32) for name, layer in layers.items()}

    def accumulate(name: str, gradient: Tensor, labels: int) -> None:
        fisher[name].addcmul_(gradient, gradient, value=labels)

    labels = _each_gradient(model, layers, examples, how, accumulate)
    return {name: total.div_(labels) for name, total in fisher.items()}


def row_importance(
    model: PreTrainedModel,
    layers: dict[str, Linear],
    examples: Sequence[Example],
    how: FisherPass,
    *,
    denominator: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Return for each layer the importance of each output row (out,), float32: ``sum_j F_f[i, j] / denominator[i, j]``.

    The retain side is known already, so the forget side streams: no matrix outlives its example.

    Args:
        model: the base model.
        layers: the target layers.
        examples: the forget set.
        how: as for the retain side.
        denominator: (out, in) for each layer, the retain Fisher with its epsilon, positive.
    """
    importance = {name: torch.zeros(len(value), device=value.device) for name, value in denominator.items()}

    def accumulate(name: str, gradient: Tensor, labels: int) -> None:
        importance[name].add_(gradient.square().div_(denominator[name]).sum(dim=1), alpha=labels)

    labels = _each_gradient(model, layers, examples, how, accumulate)
    return {name: total.div_(labels) for name, total in importance.items()}


def _each_gradient(
    model: PreTrainedModel, layers: dict[str, Linear], examples: Sequence[Example], how: FisherPass, consume: Consume
) -> int:
    """Feed every gradient to ``consume`` and return the number of labels seen."""
    total = 0
    with _recorded(model, layers) as tape:
        for places in _batches(examples, how):
            batch = collate([examples[place] for place in places], pad_id=how.pad_id).to(model.device)
            _backward(model, batch, per_example=how.per_example)
            labels = torch.bincount(batch.row, minlength=len(places)).tolist()
            for name in layers:
                if name in tape.gradients:  # else no example reached the layer, and its gradient is zero
                    inputs = _by_example(name, tape.inputs[name], batch)  # (B, T, in)
                    gradients = _by_example(name, tape.gradients[name], batch)  # (B, T, out)
                    _consume_layer(name, inputs, gradients, labels, consume, per_example=how.per_example)
            tape.clear()
            total += sum(labels)
    return total


def _batches(examples: Sequence[Example], how: FisherPass) -> list[list[int]]:
    if how.per_example:
        return batches_by_length(examples, max_batch_tokens=how.max_batch_tokens)
    places = list(range(len(examples)))
    return [places[start : start + how.paper_batch] for start in range(0, len(places), how.paper_batch)]


def _backward(model: PreTrainedModel, batch: Batch, *, per_example: bool) -> None:
    """Backpropagate the sum of the examples' mean losses, or the mean over the batch's labels."""
    scores = score(model, batch)
    loss = functional.cross_entropy(scores.logits.float(), scores.target, reduction="none")  # (N,)
    if per_example:
        labels = torch.bincount(scores.row, minlength=len(batch.input_ids))  # (B,)
        loss = loss / labels[scores.row]
        loss.sum().backward()
    else:
        loss.mean().backward()


def _by_example(name: str, rows: Tensor, batch: Batch) -> Tensor:
    """Return the rows as (B, T, d). OPT flattens its batch to (B T, d) within a layer."""
    shape = batch.input_ids.shape
    if rows.shape[:-1] not in (shape, (shape.numel(),)):
        raise UnsupportedBaseModelError(
            f"layer {name} is not run on every token of every example, so its Fisher information cannot be had: "
            "leave it out of target_modules"
        )
    return rows.reshape(*shape, rows.shape[-1])


def _consume_layer(
    name: str, inputs: Tensor, gradients: Tensor, labels: list[int], consume: Consume, *, per_example: bool
) -> None:
    if per_example:
        for row, count in enumerate(labels):
            consume(name, gradients[row].float().T @ inputs[row].float(), count)
    else:
        flat = gradients.flatten(0, 1).float().T @ inputs.flatten(0, 1).float()
        consume(name, flat, sum(labels))


@contextmanager
def _recorded(model: PreTrainedModel, layers: dict[str, Linear]) -> Iterator[_Tape]:
    """Within, every backward pass leaves each layer's inputs and output gradients on the yielded tape."""
    tape = _Tape()

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if not output.numel():  # an expert that no token was routed to
                return
            _require_countable(name, output, tape)
            tape.inputs[name] = inputs[0].detach()
            output.register_hook(lambda gradient: tape.gradients.__setitem__(name, gradient.detach()))

        return hook

    def require_grad(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> Tensor:
        # The base is frozen, so the graph must start at the embeddings; weights then need no gradient at all.
        return output.requires_grad_()

    handles = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
    handles.append(model.get_input_embeddings().register_forward_hook(require_grad))
    try:
        yield tape
    finally:
        for handle in handles:
            handle.remove()


def _require_countable(name: str, output: Tensor, tape: _Tape) -> None:
    """Return if one product of inputs and gradients will be the layer's whole gradient."""
    if name in tape.inputs:
        raise UnsupportedBaseModelError(
            f"layer {name} runs twice in one pass, so its Fisher information cannot be had: "
            "leave it out of target_modules"
        )
    if not output.requires_grad:
        raise UnsupportedBaseModelError(
            f"layer {name} does not depend on the tokens, so its Fisher information cannot be had: "
            "leave it out of target_modules"
        )
