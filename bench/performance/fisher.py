"""The exact Fisher information against a bare pass over all weights, and against the published importances."""

import torch
from torch.nn import functional

from bench.performance import published
from bench.performance.row import Row, Target, ratios
from bench.performance.rows_of_tofu import Rows, Shape, small_llama
from core.data.batches import batches_by_length
from core.data.collate import collate
from core.modeling.adapter import target_linears, weight_of
from core.modeling.scoring import score
from core.unlearning.fisher import FisherPass, retain_fisher, row_importance


def rows(texts: Rows, shape: Shape, *, repeats: int) -> list[Row]:
    """Return the rows of the table that are about Fisher information."""
    base = small_llama(texts, shape)
    model, how = base.model, FisherPass(pad_id=base.pad_id)
    layers = target_linears(model, "all-linear")
    batches = [
        collate([texts.retain[at] for at in places], pad_id=base.pad_id).to(base.device)
        for places in batches_by_length(texts.retain, max_batch_tokens=how.max_batch_tokens)
    ]
    denominator = {name: torch.ones_like(weight_of(layer), dtype=torch.float32) for name, layer in layers.items()}

    def retain_side() -> None:
        retain_fisher(model, layers, texts.retain, how)
        _finish()

    def forget_side() -> None:
        row_importance(model, layers, texts.forget, how, denominator=denominator)
        _finish()

    def both_sides() -> None:
        retain_side()
        forget_side()

    def bare() -> None:
        weights = [layer.weight.requires_grad_() for layer in layers.values()]
        for batch in batches:
            scores = score(model, batch)
            functional.cross_entropy(scores.logits.float(), scores.target).backward()
        for weight in weights:
            weight.requires_grad_(False).grad = None
        _finish()

    def theirs() -> None:
        published.importances(model, texts.forget, texts.retain, pad_id=base.pad_id)
        _finish()

    on_gpu = base.device.type == "cuda"
    with_sizes = f"{len(texts.retain)} TOFU rows; {shape}"
    ours = f"{with_sizes}; theirs: batches of {published.MICRO_BATCH}, padded to {published.WIDTH}, all weights at once"
    return [
        Row.of(
            "exact per-example Fisher over a bare full-weight forward and backward pass",
            ratios(retain_side, bare, repeats=repeats),
            Target("at most", 1.2 if on_gpu else 1.5),
            f"{with_sizes}; the same batches for both",
        ),
        Row.of(
            "published importances over ours, nothing cached",
            ratios(theirs, both_sides, repeats=repeats),
            Target("at least", 3.0),
            ours,
        ),
        Row.of(
            "published importances over ours, retain Fisher cached",
            ratios(theirs, forget_side, repeats=repeats),
            Target("at least", 6.0),
            ours,
        ),
    ]


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
