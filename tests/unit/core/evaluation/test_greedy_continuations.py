import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.evaluation.greedy_continuations import greedy_continuations, num_continued
from core.evaluation.scored_items import score_items

SHAPES = st.lists(
    st.tuples(st.integers(2, 24), st.integers(1, 24), st.integers(0, 2)).filter(lambda s: s[1] + s[2] < s[0]),
    min_size=1,
    max_size=5,
)


@torch.no_grad()
def slow_continuation(model, prefix, *, steps):
    """One prefix, one full forward pass a token, no cache, no padding."""
    tokens = list(prefix)
    for _ in range(steps):
        tokens.append(int(model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax()))
    return tokens[len(prefix) :]


def slow_continuations(model, example, *, shortest):
    m = len(example.answer)
    starts = [0] if shortest is None else range(m - shortest + 1)
    prefixes = [example.tokens[: example.first_label + i] for i in starts]
    return [slow_continuation(model, prefix, steps=m - i) for i, prefix in enumerate(prefixes)]


def fast_continuations(model, examples, *, shortest, max_cache_bytes=1 << 30):
    scores = score_items(model, examples, pad_id=0)
    found = greedy_continuations(model, examples, scores, shortest=shortest, pad_id=0, max_cache_bytes=max_cache_bytes)
    return [[tokens.tolist() for tokens in item] for item in found]


@given(shapes=SHAPES, shortest=st.none() | st.integers(1, 6), max_cache_bytes=st.sampled_from([1, 40_000, 1 << 30]))
@settings(max_examples=6, deadline=None)
def test_continuations_equal_one_forward_pass_a_token_when_random(
    model, make_example, shapes, shortest, max_cache_bytes
):
    examples = [
        make_example(length, first_label=first, num_trailing=trailing, seed=place)
        for place, (length, first, trailing) in enumerate(shapes)
    ]

    found = fast_continuations(model, examples, shortest=shortest, max_cache_bytes=max_cache_bytes)

    assert found == [slow_continuations(model, example, shortest=shortest) for example in examples]


@pytest.mark.parametrize("architecture", ["gpt_neo", "llama_gqa"])
def test_continuations_equal_one_forward_pass_a_token_when_half_learnt(overfit, make_example, architecture):
    examples = [
        make_example(20 + 3 * place, first_label=1 + 2 * place, num_trailing=place % 2, seed=place)
        for place in range(4)
    ]
    model = overfit(architecture, examples, steps=12)
    correct = torch.cat([item.correct for item in score_items(model, examples, pad_id=0)])
    assert correct.any()
    assert not correct.all()

    for shortest in (4, None):
        found = fast_continuations(model, examples, shortest=shortest)
        assert found == [slow_continuations(model, example, shortest=shortest) for example in examples]


def test_continuations_equal_generate(gpt_neo, make_example):
    example = make_example(30, first_label=3, seed=5)

    (found,) = fast_continuations(gpt_neo, [example], shortest=10)

    for i, tokens in enumerate(found):
        prefix = torch.tensor([example.tokens[: 3 + i]])
        generated = gpt_neo.generate(
            prefix,
            attention_mask=torch.ones_like(prefix),
            do_sample=False,
            min_new_tokens=27 - i,
            max_new_tokens=27 - i,
            eos_token_id=None,
            pad_token_id=0,
        )
        assert tokens == generated[0, 3 + i :].tolist()


def test_context_that_is_full_is_not_exceeded_when_lengths_differ(gpt_neo, make_example):
    examples = [make_example(40, seed=1), make_example(12, first_label=9, seed=2), make_example(40, first_label=30)]

    found = fast_continuations(gpt_neo, examples, shortest=1)

    assert found == [slow_continuations(gpt_neo, example, shortest=1) for example in examples]


def test_item_without_a_long_enough_rest_has_no_continuation(gpt_neo, make_example):
    assert fast_continuations(gpt_neo, [make_example(5), make_example(6)], shortest=5) == [
        [],
        slow_continuations(gpt_neo, make_example(6), shortest=5),
    ]


@pytest.mark.parametrize("shortest", [1, 3, 10])
def test_tokens_to_decode_are_those_of_each_prefix_that_is_continued(shortest):
    for num_tokens in range(30):
        one_by_one = sum(num_tokens - start for start in range(num_tokens) if num_tokens - start >= shortest)
        assert num_continued(num_tokens, shortest=shortest) == one_by_one
