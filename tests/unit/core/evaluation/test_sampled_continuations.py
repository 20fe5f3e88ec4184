import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.evaluation.sampled_continuations import NotFiniteError, drawn_tokens, sampled_continuations

SHAPES = st.lists(
    st.tuples(st.integers(2, 20), st.integers(1, 20), st.integers(0, 2)).filter(lambda s: s[1] + s[2] < s[0]),
    min_size=1,
    max_size=4,
)


@torch.no_grad()
def slow_samples(model, example, *, samples, seed, place):
    """One sample at a time, one full forward pass a token, no cache, no padding; the first token past the number."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + place)
    numbers = torch.rand(samples, len(example.answer), generator=generator, dtype=torch.float64)
    found = []
    for sample in numbers.tolist():
        tokens = list(example.tokens[: example.first_label])
        for number in sample:
            probs = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].double().softmax(-1)
            reached, token = 0.0, -1
            while reached <= number:
                token += 1
                reached += float(probs[token])
            tokens.append(token)
        found.append(tokens[example.first_label :])
    return found


@given(shapes=SHAPES, max_cache_bytes=st.sampled_from([1, 40_000, 1 << 30]), samples=st.integers(1, 3))
@settings(max_examples=5, deadline=None)
def test_samples_equal_one_forward_pass_a_token(model, make_example, shapes, max_cache_bytes, samples):
    examples = [
        make_example(length, first_label=first, num_trailing=trailing, seed=place)
        for place, (length, first, trailing) in enumerate(shapes)
    ]

    found = sampled_continuations(
        model, examples, samples=samples, seed=7, pad_id=0, max_cache_bytes=max_cache_bytes, max_batch_tokens=45
    )

    assert [drawn.tolist() for drawn in found] == [
        slow_samples(model, example, samples=samples, seed=7, place=place) for place, example in enumerate(examples)
    ]


def test_tokens_come_as_often_as_they_are_probable():
    probs = torch.tensor([0.5, 0.0, 0.3, 0.2])
    numbers = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    found = drawn_tokens(probs.log().expand(len(numbers), -1), numbers)

    shares = found.bincount(minlength=4) / len(numbers)
    error = 4 * math.sqrt(0.25 / len(numbers))  # four standard deviations at most
    torch.testing.assert_close(shares, probs, rtol=0, atol=error)
    assert shares[1] == 0


@pytest.mark.parametrize(("number", "token"), [(0.0, 1), (0.2499, 1), (0.2501, 2), (0.9999, 3)])
def test_a_number_selects_the_token_in_whose_stretch_it_lies(number, token):
    logits = torch.tensor([[0.0, 0.25, 0.5, 0.25, 0.0]]).log()

    assert drawn_tokens(logits, torch.tensor([number], dtype=torch.float64)).tolist() == [token]


def test_the_global_generator_neither_decides_nor_is_moved(gpt_neo, make_example):
    examples = [make_example(9, first_label=3, seed=place) for place in range(3)]
    torch.manual_seed(1)
    first = sampled_continuations(gpt_neo, examples, samples=4, seed=5, pad_id=0)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = sampled_continuations(gpt_neo, examples, samples=4, seed=5, pad_id=0)
    other = sampled_continuations(gpt_neo, examples, samples=4, seed=6, pad_id=0)

    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_samples_of_one_prompt_differ(gpt_neo, make_example):
    (found,) = sampled_continuations(gpt_neo, [make_example(20, first_label=3)], samples=8, seed=0, pad_id=0)

    assert len({tuple(sample) for sample in found.tolist()}) > 1


def test_scores_that_are_no_numbers_are_refused(gpt_neo, make_example):
    model = copy.deepcopy(gpt_neo)
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(math.nan)

    with pytest.raises(NotFiniteError):
        sampled_continuations(model, [make_example(9)], samples=2, seed=0, pad_id=0)
