"""Train the base model of ``bench.forget_and_keep``: a GPT-Neo of 5.9 M parameters that knows TOFU by heart.

python -m bench.tofu_base --data DIR --out DIR [--epochs 30]: 4,000 rows an epoch. The data set is not shipped.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.tofu.scratch import MAX_TOKENS, Recipe, new_model, tokenizer_of, train
from core.data.corpus import ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.items import PairItem


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
    recipe = Recipe(epochs=arguments.epochs)
    torch.manual_seed(recipe.seed)
    items = tofu_pairs(arguments.data / "full.jsonl")
    tokenizer = tokenizer_of(items)
    examples = ItemEncoder(tokenizer, TextFormat(), MAX_TOKENS)(items)
    model = new_model(tokenizer, recipe)
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
    for epoch in train(model, examples, recipe, pad_id=tokenizer.eos_token_id):
        print(f"epoch {epoch.number}: loss {epoch.loss:.4f}, {epoch.seconds:.0f} s", flush=True)
    model.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)


def _parse() -> Arguments:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory of the TOFU files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=30)
    return Arguments(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
