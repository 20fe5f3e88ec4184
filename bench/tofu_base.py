"""Train the base model of ``bench.forget_and_keep``: a GPT-Neo of 5.9 M parameters that knows TOFU by heart.

python -m bench.tofu_base --data DIR --out DIR [--epochs 30]: 4,000 rows an epoch. The data set is not shipped.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn import functional
from transformers import GPTNeoConfig, GPTNeoForCausalLM

from cli.demo.tokenizer import train_tokenizer
from core.data.batches import training_batch
from core.data.collate import collate
from core.data.corpus import Example, ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.items import PairItem
from core.modeling.scoring import score

BATCH_SIZE = 64
PEAK_RATE = 2e-3
WARMUP_STEPS = 100


@dataclass(frozen=True)
class Arguments:
    """The command line."""

    data: Path
    out: Path
    epochs: int


def tofu_pairs(file: Path) -> list[PairItem]:
    """Return the questions and answers of a TOFU file as items."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [
        PairItem(
            id=f"{file.stem}-{place}", prompt=f"Question: {row['question']}\nAnswer:", completion=f" {row['answer']}"
        )
        for place, row in enumerate(rows)
    ]


def main() -> None:
    """Train, print the loss of each epoch, save."""
    arguments = _parse()
    torch.manual_seed(0)
    items = tofu_pairs(arguments.data / "full.jsonl")
    tokenizer = train_tokenizer([item.prompt + item.completion for item in items], vocab_size=6000)
    # Questions are learnt as well: a model that has read whole texts learns the names sooner.
    examples = [replace(example, first_label=1) for example in ItemEncoder(tokenizer, TextFormat(), 512)(items)]
    config = GPTNeoConfig(
        vocab_size=len(tokenizer),
        hidden_size=288,
        intermediate_size=1152,
        num_layers=4,
        num_heads=8,
        attention_types=[[["global", "local"], 2]],
        max_position_embeddings=512,
        activation_function="gelu_pytorch_tanh",  # the same curve as gelu_new, in one kernel
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = GPTNeoForCausalLM(config)
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
    for epoch, loss, seconds in _train(model, examples, pad_id=tokenizer.eos_token_id, epochs=arguments.epochs):
        print(f"epoch {epoch}: loss {loss:.4f}, {seconds:.0f} s", flush=True)
    model.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)


def _train(
    model: GPTNeoForCausalLM, examples: Sequence[Example], *, pad_id: int, epochs: int
) -> Iterator[tuple[int, float, float]]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.95), weight_decay=0.0)
    per_epoch = math.ceil(len(examples) / BATCH_SIZE)
    started, total = time.perf_counter(), 0.0
    for step in range(epochs * per_epoch):
        for group in optimizer.param_groups:
            group["lr"] = _rate(step, epochs * per_epoch)
        places = training_batch(examples, batch_size=BATCH_SIZE, step=step, seed=0)
        scores = score(model, collate([examples[place] for place in places], pad_id=pad_id))
        loss = functional.cross_entropy(scores.logits, scores.target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += float(loss.detach())
        if (step + 1) % per_epoch == 0:
            yield (step + 1) // per_epoch, total / per_epoch, time.perf_counter() - started
            total = 0.0


def _rate(step: int, steps: int) -> float:
    return PEAK_RATE * min(1.0, (step + 1) / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _parse() -> Arguments:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory of the TOFU files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=30)
    return Arguments(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
