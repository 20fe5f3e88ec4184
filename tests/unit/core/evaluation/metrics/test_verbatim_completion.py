import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.evaluation.metric import Evidence, UndefinedMetricError
from core.evaluation.metrics.verbatim_completion import VerbatimCompletion
from core.evaluation.scored_items import score_items


@torch.no_grad()
def slow_value(model, example, *, given):
    """Greedy decoding one token at a time, each time from the whole prefix."""
    start = example.first_label + given
    wanted = example.answer[given : given + 50] if not example.prompted else example.answer
    written = list(example.tokens[:start])
    for _ in wanted:
        written.append(int(model(input_ids=torch.tensor([written])).logits[0, -1].argmax()))
    return float(tuple(written[start:]) == wanted)


def of_text(evidence, correct):
    made = evidence(correct)
    return VerbatimCompletion().of_item(Evidence(dataclasses.replace(made.scores, prompted=False)))


@pytest.mark.parametrize(("correct", "expected"), [("1111", 1.0), ("0111", 0.0), ("1110", 0.0), ("1", 1.0), ("0", 0.0)])
def test_completion_must_be_right_from_its_first_token(evidence, correct, expected):
    assert VerbatimCompletion().of_item(evidence(correct)) == expected


@pytest.mark.parametrize(
    ("correct", "expected"),
    [
        ("01", 1.0),  # half of it is given
        ("10", 0.0),
        ("00011", 0.0),  # of five tokens two are given
        ("00111", 1.0),
        ("0" * 49 + "1" * 50, 1.0),
        ("0" * 50 + "1" * 50, 1.0),
        ("0" * 50 + "1" * 50 + "0" * 30, 1.0),  # no more than 50 are asked for
        ("0" * 50 + "1" * 49 + "01", 0.0),
        ("1" * 50 + "0" + "1" * 49, 0.0),
    ],
)
def test_text_must_be_right_after_what_is_given(evidence, correct, expected):
    assert of_text(evidence, correct) == expected


def test_text_of_one_token_has_no_beginning(evidence):
    with pytest.raises(UndefinedMetricError, match="too short"):
        of_text(evidence, "1")


def test_trailing_tokens_do_not_count(evidence):
    assert VerbatimCompletion().of_item(evidence("11", trailing="0")) == 1.0


@given(
    length=st.integers(6, 14),
    first=st.integers(1, 3),
    prompted=st.booleans(),
    steps=st.sampled_from([4, 8, 12]),
    seed=st.integers(0, 5),
)
@settings(max_examples=12, deadline=None)
def test_value_equals_decoding_token_by_token(overfit, make_example, length, first, prompted, steps, seed):
    example = dataclasses.replace(make_example(length, first_label=first, seed=seed), prompted=prompted)
    model = overfit("gpt_neo", [example], steps=steps)

    (scores,) = score_items(model, [example], pad_id=0)

    start = 0 if prompted else len(example.answer) // 2
    assert VerbatimCompletion().of_item(Evidence(scores)) == slow_value(model, example, given=start)


def test_set_is_the_share_of_items_that_are_extracted():
    assert VerbatimCompletion().of_set([1.0, 0.0, 0.0, 1.0], num_tokens=[1, 2, 3, 4]) == 0.5
