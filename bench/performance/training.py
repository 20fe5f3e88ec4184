"""The training step against what no step can do without, and an epoch against the published loop."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn import functional

from bench.performance import published
from bench.performance.row import Row, Target, ratios
from bench.performance.rows_of_tofu import Rows, Shape, anchored, small_llama
from core.data.batches import training_batch
from core.data.collate import Batch
from core.domain.catalog import LokuOptions
from core.modeling.adapter import Adapter
from core.modeling.base_model import BaseModel
from core.modeling.packing import can_pack
from core.modeling.scoring import score
from core.unlearning.methods.inverted_hinge import InvertedHinge
from core.unlearning.step import RETAIN_STREAM, FusedStep, Plan, TrainingData

BATCH_SIZE = 16
LEARNING_RATE = 1e-4


def rows(texts: Rows, shape: Shape, *, repeats: int) -> list[Row]:
    """Return the rows of the table that are about training."""
    step = _step(small_llama(texts, shape), texts, shape, batch_size=BATCH_SIZE)
    return [_step_over_bare(step, shape, repeats=repeats), _real_tokens(step), *_epochs(texts, shape, repeats=repeats)]


def _step(base: BaseModel, texts: Rows, shape: Shape, *, batch_size: int) -> FusedStep:
    options = LokuOptions(batch_size=batch_size, r=shape.rank, lora_alpha=2 * shape.rank)
    data = TrainingData(texts.forget, texts.retain)
    packs = can_pack(base.model)
    return FusedStep(base, anchored(base, shape), InvertedHinge(), data, options, packs=packs)


def _plan(step: int) -> Plan:
    return Plan(step=step, forgetting=True, retain_weight=1.0)


def _optimizer(adapter: Adapter) -> torch.optim.Optimizer:
    return torch.optim.AdamW(adapter.parameters(), lr=LEARNING_RATE, weight_decay=0.01)


def _step_over_bare(step: FusedStep, shape: Shape, *, repeats: int) -> Row:
    """Both sides pass the rows of the same steps, in the same layout; the bare side finds its batches ready."""
    optimizer, count = _optimizer(step.adapter), 4
    batches = [batch_of(step, number) for number in range(count)]

    def whole() -> None:
        for number in range(count):
            step(_plan(number), optimizer)

    def bare() -> None:
        for batch in batches:
            scores = score(step.base.model, batch)
            functional.cross_entropy(scores.logits.float(), scores.target).backward()
            for parameter in step.adapter.parameters():
                parameter.grad = None

    return Row.of(
        "training step (IHL and CE, optimizer included) over a bare forward and backward pass",
        ratios(_timed(whole), _timed(bare), repeats=repeats),
        Target("at most", 1.10),
        f"{count} steps of {BATCH_SIZE} + {BATCH_SIZE} TOFU rows; {shape}; the bare pass has the same packed lines "
        "ready, scores the same places and takes their cross-entropy",
    )


def batch_of(step: FusedStep, number: int) -> Batch:
    """Return what a step passes."""
    data, size, seed = step.data, step.options.batch_size, step.options.seed
    forget = training_batch(data.forget, batch_size=size, step=number, seed=seed)
    retain = training_batch(data.retain, batch_size=size, step=number, seed=seed + RETAIN_STREAM)
    return step.lay_out([*(data.forget[at] for at in forget), *(data.retain[at] for at in retain)])


def _real_tokens(step: FusedStep) -> Row:
    shares = []
    for number in range(-(-len(step.data.forget) // step.options.batch_size)):
        mask = batch_of(step, number).attention_mask
        shares.append((int(mask.sum()), mask.numel()))
    real, processed = (sum(side) for side in zip(*shares, strict=True))
    return Row.of(
        "real tokens / processed tokens on TOFU",
        [real / processed],
        Target("at least", 0.95),
        f"one epoch over {len(step.data.forget)} rows of forget10 in steps of {step.options.batch_size} + "
        f"{step.options.batch_size}, packed for width {step.base.model.config.hidden_size}",
    )


def _epochs(texts: Rows, shape: Shape, *, repeats: int) -> list[Row]:
    """Return how much faster an epoch is than the published one, and whether both learn the same."""
    size = published.MICRO_BATCH * published.ACCUMULATED
    step = _step(small_llama(texts, shape), texts, shape, batch_size=size)
    theirs = small_llama(texts, shape)
    wrapped = published.with_lora(theirs.model, rank=shape.rank)
    ours_optimizer, steps = _optimizer(step.adapter), -(-len(texts.forget) // size)

    def fast() -> None:
        for number in range(steps):
            step(_plan(number), ours_optimizer)

    def slow() -> None:
        published.epoch(wrapped, texts.forget, texts.retain, pad_id=theirs.pad_id, learning_rate=LEARNING_RATE)

    how = f"{len(texts.forget)} TOFU rows with as many to keep, batches of {size}; {shape}"
    return [
        Row.of(
            "epoch of the published LoKU loop over an epoch of ours",
            ratios(_timed(slow), _timed(fast), repeats=repeats),
            Target("at least", 6.0),
            f"{how}; theirs: rows padded to {published.WIDTH} tokens in micro-batches of {published.MICRO_BATCH}, two "
            "forward passes, one-hot hinge",
        ),
        _gradients_alike(texts, shape),
    ]


def _gradients_alike(texts: Rows, shape: Shape) -> Row:
    """Return how far the gradients of both are apart on the same rows: one micro-batch, where both take plain means."""
    base = small_llama(texts, shape)
    adapter = anchored(base, shape)
    # The published loss forgets the token that ends an answer too; ours keeps it, so here it is a part of the answer.
    forget = [replace(row, num_trailing=0) for row in texts.forget[: published.MICRO_BATCH]]
    retain = texts.retain[: published.MICRO_BATCH]
    data = TrainingData(forget, retain)
    options = LokuOptions(batch_size=published.MICRO_BATCH, r=shape.rank, lora_alpha=2 * shape.rank)
    losses = FusedStep(base, adapter, InvertedHinge(), data, options, packs=can_pack(base.model)).losses(_plan(0))
    if losses.forget is None or losses.retain is None:
        raise ValueError("a step that forgets and keeps has both losses")
    ours = torch.autograd.grad(losses.forget + losses.retain, adapter.parameters())
    theirs = torch.autograd.grad(published.loss(base.model, forget, retain, pad_id=base.pad_id), adapter.parameters())
    apart = math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(ours, theirs, strict=True)))
    whole = math.sqrt(sum(float(b.square().sum()) for b in theirs))
    return Row.of(
        "distance of our gradient from that of the published loss, over its norm",
        [apart / whole],
        Target("at most", 1e-3 if base.model.dtype == torch.float32 else 5e-2),
        f"the same {published.MICRO_BATCH} + {published.MICRO_BATCH} rows and the same adapter, {base.model.dtype}",
    )


def _timed(action: Callable[[], None]) -> Callable[[], None]:
    """Return the action as a clock must see it: a GPU has finished when it returns."""
    if not torch.cuda.is_available():
        return action

    def finished() -> None:
        action()
        torch.cuda.synchronize()

    return finished
