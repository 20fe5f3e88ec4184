import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from core.data.batches import batches_by_length
from core.data.collate import collate
from core.data.corpus import Example
from core.evaluation.attack import NoAttackError
from core.modeling.adapter import AnchoredLinear, Linear, LowRankPair, target_linears, weight_of
from core.modeling.scoring import score
from core.modeling.stand_ins import stand_ins

# alpha / r as in the training of adapters; together with the learning rate it sets the pace.
SCALING = 2.0
MAX_GRAD_NORM = 1.0
# Padded tokens of a part of a batch, if it has several rows. A step of the training passes whole batches of both sets.
MAX_PART_TOKENS = 256


@contextmanager
def plain_lora(model: PreTrainedModel, *, rank: int, seed: int) -> Iterator[list[nn.Parameter]]:
    """Within, every linear layer but the head has a fresh LoRA added; yields what there is to train.

    An anchored layer holds its base layer as a linear layer of the model, so the LoRA goes between the two.
    """
    generator = torch.Generator().manual_seed(seed)  # on the CPU, so that the draw is the same on every device
    linears = target_linears(model, "all-linear")
    layers = {name: _with_lora(linear, rank=rank, generator=generator) for name, linear in linears.items()}
    was_training = model.training
    with stand_ins(model, layers):
        model.eval()
        try:
            yield [parameter for layer in layers.values() for parameter in (layer.a, layer.b)]
        finally:
            model.train(was_training)


def _with_lora(linear: Linear, *, rank: int, generator: torch.Generator) -> AnchoredLinear:
    """Return the layer with a pair as PEFT starts it and an anchor of rank 0, so that it begins as the layer is."""
    rows, columns = weight_of(linear).shape
    device = linear.weight.device
    bound = 1 / math.sqrt(columns)
    a = torch.empty(rank, columns).uniform_(-bound, bound, generator=generator).to(device)
    pair = LowRankPair(a=a, b=torch.zeros(rows, rank, device=device))
    nothing = LowRankPair(a=a[:0], b=pair.b[:, :0])
    return AnchoredLinear(linear, initial=pair, anchor=nothing, scaling=SCALING)


def take_step(
    model: PreTrainedModel,
    rows: Sequence[Example],
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    *,
    pad_id: int,
    step: int,
) -> None:
    """Train on one batch, label tokens alone; no gradient is left on anything else of the model.

    The batch passes in parts whose gradients are added up, so that its size costs no memory.
    """
    num_labels = sum(row.num_labels for row in rows)
    loss = 0.0
    gradients = [torch.zeros_like(parameter) for parameter in parameters]
    for places in batches_by_length(rows, max_batch_tokens=MAX_PART_TOKENS):
        with torch.enable_grad():
            scores = score(model, collate([rows[place] for place in places], pad_id=pad_id).to(model.device))
            part = functional.cross_entropy(scores.logits.float(), scores.target, reduction="sum") / num_labels
            found = torch.autograd.grad(part, parameters, materialize_grads=True)
        loss += float(part.detach())
        for total, gradient in zip(gradients, found, strict=True):
            total.add_(gradient)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    norm = torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
    if not math.isfinite(loss + float(norm)):
        raise NoAttackError(f"fine-tuning diverged at step {step + 1}: give it a lower learning rate")
    optimizer.step()
