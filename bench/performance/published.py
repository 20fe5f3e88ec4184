"""The published LoKU recipe as its official scripts run it, written here from its description as a baseline.

Rows are padded to 500 tokens whatever their length. A micro-batch passes its forget rows and its retain rows in a
forward pass each; the inverted hinge goes through a softmax over every scored place, a one-hot mask and a copy of the
probabilities without the target. Gradients of 16 micro-batches are added up before an optimizer step. The importance
is the squared gradient of each batch, of every linear weight, added up in bfloat16 on the CPU.

Source: Cha et al., ICLR 2025 (arXiv 2408.06621), official code at commit 272484a.
"""

from collections.abc import Sequence

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from core.data.corpus import Example

WIDTH = 500
MICRO_BATCH = 2
ACCUMULATED = 16
IGNORED = -100


def with_lora(model: PreTrainedModel, *, rank: int) -> nn.Module:
    """Return the model with PEFT's LoRA on every linear layer, alpha twice the rank."""
    torch.manual_seed(1)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", bias="none")
    wrapped: nn.Module = get_peft_model(model, config)
    return wrapped


def epoch(
    model: nn.Module, forget: Sequence[Example], retain: Sequence[Example], *, pad_id: int, learning_rate: float
) -> None:
    """Train one epoch over the forget rows, each with a retain row beside it."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.01)
    starts = range(0, len(forget), MICRO_BATCH)
    for number, start in enumerate(starts, start=1):
        rows = slice(start, start + MICRO_BATCH)
        (loss(model, forget[rows], retain[rows], pad_id=pad_id) / ACCUMULATED).backward()
        if number % ACCUMULATED == 0 or number == len(starts):
            optimizer.step()
            optimizer.zero_grad()


def loss(model: nn.Module, forget: Sequence[Example], retain: Sequence[Example], *, pad_id: int) -> Tensor:
    """Return the loss of one micro-batch: two forward passes."""
    forgotten = padded(forget, pad_id=pad_id, model=model)
    kept = padded(retain, pad_id=pad_id, model=model)
    return inverted_hinge(_logits(model, forgotten), forgotten[2]) + _cross_entropy(model, kept)


def importances(
    model: PreTrainedModel, forget: Sequence[Example], retain: Sequence[Example], *, pad_id: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the importance of every linear weight for both sets: one backward pass a batch, all weights together."""
    weights = {
        f"{name}.weight": module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not model.get_output_embeddings()
    }
    model.requires_grad_(True)
    try:
        return (
            _importance(model, weights, forget, pad_id=pad_id),
            _importance(model, weights, retain, pad_id=pad_id),
        )
    finally:
        model.requires_grad_(False)


def _importance(
    model: PreTrainedModel, weights: dict[str, Tensor], rows: Sequence[Example], *, pad_id: int
) -> dict[str, Tensor]:
    totals = {name: torch.zeros_like(weight, dtype=torch.bfloat16, device="cpu") for name, weight in weights.items()}
    labels = 0
    for start in range(0, len(rows), MICRO_BATCH):
        batch = padded(rows[start : start + MICRO_BATCH], pad_id=pad_id, model=model)
        count = int((batch[2] != IGNORED).sum())
        model.zero_grad()
        _cross_entropy(model, batch).backward()
        for name, weight in weights.items():
            if weight.grad is not None:
                totals[name] += (count * weight.grad.square()).to("cpu", torch.bfloat16)
        labels += count
    model.zero_grad()
    return {name: total / labels for name, total in totals.items()}


def padded(rows: Sequence[Example], *, pad_id: int, model: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, mask and labels of 500 tokens a row; the question and the padding have no label."""
    device = next(model.parameters()).device
    ids = torch.full((len(rows), WIDTH), pad_id)
    mask = torch.zeros((len(rows), WIDTH), dtype=torch.long)
    labels = torch.full((len(rows), WIDTH), IGNORED)
    for at, row in enumerate(rows):
        length = len(row.tokens)
        ids[at, :length] = torch.tensor(row.tokens)
        mask[at, :length] = 1
        labels[at, row.first_label : length] = ids[at, row.first_label : length]
    return ids.to(device), mask.to(device), labels.to(device)


def inverted_hinge(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of ``1 + p[y] - max(p[v], v != y)`` by way of a mask and a copy, in the dtype of the logits."""
    shifted, targets = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    kept = targets != IGNORED
    probabilities, targets = shifted[kept].softmax(dim=1), targets[kept]
    is_target = functional.one_hot(targets, probabilities.shape[1]).bool()  # (N, V)
    others = probabilities[~is_target].view(len(targets), -1)  # (N, V - 1)
    margin = probabilities[is_target] - others.amax(dim=1)
    return (1 + margin).clamp(min=0).mean()


def _logits(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    ids, mask, _ = batch
    logits: Tensor = model(input_ids=ids, attention_mask=mask).logits
    return logits


def _cross_entropy(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    ids, mask, labels = batch
    mean: Tensor = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    return mean
