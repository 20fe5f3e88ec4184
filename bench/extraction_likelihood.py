"""Measure extraction likelihood against one ``generate`` per prefix: ``python -m bench.extraction_likelihood``.

The model is a small GPT-Neo from random weights, trained on a part of the sequences until it has learnt them
(``--memorised``); what it has learnt needs no decoding, so nothing learnt is the worst case for the fast path.
The slow way is timed on every so many prefixes (``--every``) and scaled up, and its tokens are compared.
"""

import argparse
import time

import torch
from transformers import GPTNeoConfig, GPTNeoForCausalLM

from core.data.corpus import Example
from core.evaluation.decoding import MAX_CACHE_BYTES
from core.evaluation.greedy_continuations import greedy_continuations
from core.evaluation.metric import Evidence
from core.evaluation.metrics.extraction_likelihood import ExtractionLikelihood
from core.evaluation.scored_items import ItemScores, evaluating, score_items

VOCABULARY = 4096


def main() -> None:
    """Print the time of both ways, their ratio and whether they agree."""
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = _model().to(options.device)
    examples = [Example(str(place), tuple(_sequence(options.length)), 1, 0) for place in range(options.sequences)]
    _learn(model, examples[: round(options.memorised * len(examples))], steps=options.steps)
    scores = score_items(model, examples, pad_id=0)
    share = sum(int(item.correct.sum()) for item in scores) / sum(len(item) for item in scores)
    print(f"{options.sequences} sequences of {options.length} tokens, {share:.1%} of them predicted, {options.device}")

    begin = time.perf_counter()
    metric = ExtractionLikelihood()
    scores = score_items(model, examples, pad_id=0)
    found = greedy_continuations(
        model, examples, scores, shortest=metric.n, pad_id=0, max_cache_bytes=options.max_cache_bytes
    )
    values = [metric.of_item(Evidence(item, texts)) for item, texts in zip(scores, found, strict=True)]
    fast = time.perf_counter() - begin

    sampled, slow, agreeing = _slow(model, examples, scores, found, every=options.every)
    slow *= sum(len(item) for item in found) / sampled
    print(f"EL_{metric.n} {metric.of_set(values, num_tokens=[len(item) for item in scores]):.4f}")
    print(f"batched {fast:.2f} s; one generate per prefix {slow:.1f} s (from {sampled} prefixes)")
    print(f"ratio {slow / fast:.1f}; {agreeing} of {sampled} continuations identical")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=32)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--memorised", type=float, default=0.0, help="share of the sequences that the model learns")
    parser.add_argument("--steps", type=int, default=150, help="training steps for those")
    parser.add_argument("--every", type=int, default=97, help="time the slow way on one prefix in so many")
    parser.add_argument("--max-cache-bytes", type=int, default=MAX_CACHE_BYTES)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def _model() -> GPTNeoForCausalLM:
    return GPTNeoForCausalLM(
        GPTNeoConfig(
            vocab_size=VOCABULARY,
            hidden_size=256,
            num_layers=4,
            num_heads=8,
            attention_types=[[["global", "local"], 2]],
            window_size=64,
            max_position_embeddings=256,
            bos_token_id=0,
            eos_token_id=1,
        )
    )


def _sequence(length: int) -> list[int]:
    tokens: list[int] = torch.randint(2, VOCABULARY, (length,)).tolist()
    return tokens


def _learn(model: GPTNeoForCausalLM, examples: list[Example], *, steps: int) -> None:
    if not examples:
        return
    tokens = torch.tensor([example.tokens for example in examples], device=model.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(steps):
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def _slow(
    model: GPTNeoForCausalLM,
    examples: list[Example],
    scores: list[ItemScores],
    found: list[list[torch.Tensor]],
    *,
    every: int,
) -> tuple[int, float, int]:
    """Return how many prefixes were decoded one by one, how long that took, and how many gave the same tokens."""
    prefixes = [(item, i) for item, texts in enumerate(found) for i in range(len(texts))][::every]
    agreeing = 0
    begin = time.perf_counter()
    with evaluating(model):
        for item, i in prefixes:
            prefix = torch.tensor([examples[item].tokens[: 1 + i]], device=model.device)
            steps = len(scores[item]) - i
            generated = model.generate(
                prefix,
                attention_mask=torch.ones_like(prefix),
                do_sample=False,
                max_new_tokens=steps,
                min_new_tokens=steps,
                eos_token_id=None,
                pad_token_id=0,
            )
            agreeing += torch.equal(generated[0, 1 + i :].cpu(), found[item][i])
    return len(prefixes), time.perf_counter() - begin, agreeing


if __name__ == "__main__":
    main()
