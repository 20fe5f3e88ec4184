"""EL_10 and MA against one ``generate`` call per prefix.

The model is a small GPT-Neo with random weights. What a model has learnt needs no decoding, so knowing nothing is the
worst case for our side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import GPTNeoConfig, GPTNeoForCausalLM

from bench.performance.row import Row, Target, seconds
from core.data.corpus import Example
from core.evaluation.greedy_continuations import greedy_continuations
from core.evaluation.metric import Evidence
from core.evaluation.metrics.extraction_likelihood import ExtractionLikelihood
from core.evaluation.metrics.memorization_accuracy import MemorizationAccuracy
from core.evaluation.scored_items import evaluating, score_items

PAD = 0


@dataclass(frozen=True)
class Sizes:
    """What is measured, and on how much of it the slow way is timed."""

    sequences: int = 32
    length: int = 200
    every: int = 293  # one prefix in so many, and scaled up: all of them would take an hour
    races: int = 2  # at most, however many repeats are asked for: on two cores each takes minutes
    vocabulary: int = 4096
    hidden: int = 256
    layers: int = 4


def rows(sizes: Sizes, *, repeats: int) -> list[Row]:
    """Return the rows of the table that are about decoding: how much faster, and whether both decode the same."""
    torch.manual_seed(0)
    model = _model(sizes).to("cuda" if torch.cuda.is_available() else "cpu")
    examples = [Example(str(at), tuple(_sequence(sizes)), 1, 0) for at in range(sizes.sequences)]
    _measured(model, examples[:1])
    count = min(repeats, sizes.races)
    races = [_race(model, examples, sizes, offset=at * sizes.every // count) for at in range(count)]
    last = races[-1]
    what = f"EL_10 and MA of {sizes.sequences} sequences of {sizes.length} tokens"
    return [
        Row.of(
            f"{what}: one generate call per prefix over ours",
            [race.ratio for race in races],
            Target("at least", 15.0),
            f"GPT-Neo of {sizes.layers} layers, width {sizes.hidden}, random weights, {model.device.type}; EL_10 "
            f"{last.found.extraction_likelihood:.4f}, MA {last.found.memorization_accuracy:.4f}; the calls were timed "
            f"on one prefix in {sizes.every}, {last.num_called} of them, others in each repeat",
        ),
        Row.of(
            f"{what}: share of continuations that are the same, and with them the values",
            [race.alike for race in races],
            Target("at least", 1.0),
            "those of the prefixes on which the calls were timed, token by token",
        ),
    ]


@dataclass(frozen=True)
class _Found:
    """What our side makes of the sequences."""

    extraction_likelihood: float
    memorization_accuracy: float
    continuations: list[list[Tensor]]  # of each sequence, for each of its prefixes


@dataclass(frozen=True)
class _Race:
    ratio: float
    alike: float  # share of the calls that wrote what ours did
    num_called: int
    found: _Found


def _race(model: GPTNeoForCausalLM, examples: Sequence[Example], sizes: Sizes, *, offset: int) -> _Race:
    ours: list[_Found] = []
    fast = seconds(lambda: ours.append(_measured(model, examples)))
    continuations = ours[0].continuations
    prefixes = [(row, at) for row, texts in enumerate(continuations) for at in range(len(texts))]
    called = prefixes[offset :: sizes.every]
    theirs: list[Tensor] = []
    slow = seconds(lambda: theirs.extend(_generated(model, examples, called)))
    same = [torch.equal(text, continuations[row][at]) for text, (row, at) in zip(theirs, called, strict=True)]
    return _Race(slow * len(prefixes) / len(called) / fast, sum(same) / len(same), len(called), ours[0])


def _model(sizes: Sizes) -> GPTNeoForCausalLM:
    return GPTNeoForCausalLM(
        GPTNeoConfig(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.hidden,
            num_layers=sizes.layers,
            num_heads=8,
            attention_types=[[["global", "local"], sizes.layers // 2]],
            window_size=64,
            max_position_embeddings=sizes.length,
            bos_token_id=0,
            eos_token_id=1,
        )
    ).eval()


def _sequence(sizes: Sizes) -> list[int]:
    tokens: list[int] = torch.randint(2, sizes.vocabulary, (sizes.length,)).tolist()
    return tokens


def _measured(model: GPTNeoForCausalLM, examples: Sequence[Example]) -> _Found:
    likelihood, accuracy = ExtractionLikelihood(), MemorizationAccuracy()
    scores = score_items(model, examples, pad_id=PAD)
    found = greedy_continuations(model, examples, scores, shortest=likelihood.n, pad_id=PAD)
    evidence = [Evidence(item, texts) for item, texts in zip(scores, found, strict=True)]
    num_tokens = [len(item) for item in scores]
    return _Found(
        likelihood.of_set([likelihood.of_item(each) for each in evidence], num_tokens=num_tokens),
        accuracy.of_set([accuracy.of_item(each) for each in evidence], num_tokens=num_tokens),
        found,
    )


def _generated(
    model: GPTNeoForCausalLM, examples: Sequence[Example], prefixes: Sequence[tuple[int, int]]
) -> list[Tensor]:
    """Return what one call for each prefix writes, given the row and how many of its content tokens the prefix has.

    The first token is what MA asks for, all of them are what EL_10 does. The last nine tokens of a row, of which MA
    asks for the prediction alone, are left out: less work for this side.
    """
    texts = []
    with evaluating(model):
        for row, at in prefixes:
            prefix = torch.tensor([examples[row].tokens[: 1 + at]], device=model.device)
            steps = len(examples[row].tokens) - 1 - at
            generated = model.generate(
                prefix,
                attention_mask=torch.ones_like(prefix),
                do_sample=False,
                max_new_tokens=steps,
                min_new_tokens=steps,
                eos_token_id=None,
                pad_token_id=PAD,
            )
            texts.append(generated[0, 1 + at :].cpu())
    return texts
