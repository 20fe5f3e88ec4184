import copy
import dataclasses
import math

import pytest
import torch

from core.evaluation.evaluate import MeasuredItem, SetScores, compare, evaluate
from core.evaluation.metric import Evidence, Texts
from core.evaluation.metrics import METRICS
from core.evaluation.scored_items import score_items


@pytest.fixture(scope="module")
def examples(make_example):
    return [make_example(8 + 2 * place, first_label=1 + place % 3, seed=place, id=f"i{place}") for place in range(8)]


@pytest.fixture
def destroyed(gpt_neo):
    model = copy.deepcopy(gpt_neo)
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(math.nan)
    return model


def measured(*values, metric="extraction_strength", num_items=None):
    """A set with one metric; None for an item that lacks it."""
    items = [
        MeasuredItem(
            f"i{place}",
            {} if value is None else {metric: value},
            {metric: "it is too short"} if value is None else {},
            num_tokens=4,
        )
        for place, value in enumerate(values)
    ]
    having = [value for value in values if value is not None]
    metrics = {metric: sum(having) / len(having)} if having else {}
    return SetScores(num_items=num_items or len(values), metrics=metrics, items=items)


def test_each_item_has_the_metrics_of_its_own_pass(gpt_neo, examples):
    found = evaluate(gpt_neo, examples, pad_id=0)

    assert [item.id for item in found.items] == [example.id for example in examples]
    for item, example in zip(found.items, examples, strict=True):
        (scores,) = score_items(gpt_neo, [example], pad_id=0)
        for name in set(METRICS) - {"extraction_likelihood", "rouge_l_recall"}:
            assert item.values[name] == pytest.approx(METRICS[name].of_item(Evidence(scores)), rel=1e-6)


def test_aggregate_is_over_the_items_that_have_the_metric(gpt_neo, examples):
    found = evaluate(gpt_neo, examples, pad_id=0)

    long = [item for item, example in zip(found.items, examples, strict=True) if len(example.answer) >= 10]
    assert 0 < len(long) < len(examples)
    values = [item.values["extraction_likelihood"] for item in long]
    assert found.values("extraction_likelihood") == values
    assert found.metrics["extraction_likelihood"] == pytest.approx(sum(values) / len(values))


def test_short_item_has_a_reason_instead_of_extraction_likelihood(gpt_neo, examples):
    found = evaluate(gpt_neo, examples[:1], pad_id=0)

    assert found.items[0].absent["extraction_likelihood"] == "the item has fewer than 10 content tokens"
    assert "extraction_likelihood" not in found.metrics


def decoded(scores):
    return tuple(item.id for item in scores.items if "extraction_likelihood" in item.values)


def tokens_of(example):
    """What continuing each prefix that leaves ten tokens takes where every prediction is wrong, one by one."""
    m = len(example.answer)
    return sum(m - start for start in range(m + 1) if m - start >= 10)


def test_sample_is_the_same_for_every_model_when_capped(gpt_neo, examples):
    other = copy.deepcopy(gpt_neo)
    with torch.no_grad():
        other.get_output_embeddings().weight.mul_(-1.0)

    first = evaluate(gpt_neo, examples, pad_id=0, max_decoded_tokens=150, seed=1)
    second = evaluate(other, examples, pad_id=0, max_decoded_tokens=150, seed=1)

    assert first.values("extraction_strength") != second.values("extraction_strength")
    assert 0 < len(decoded(first)) < sum(tokens_of(example) > 0 for example in examples)
    assert decoded(first) == decoded(second)


def test_sample_differs_by_seed(gpt_neo, examples):
    found = {decoded(evaluate(gpt_neo, examples, pad_id=0, max_decoded_tokens=150, seed=seed)) for seed in range(5)}

    assert len(found) > 1


@pytest.mark.parametrize("at_most", [9, 10, 60, 150, 400, 10_000, None])
def test_no_more_tokens_are_decoded_than_allowed_and_none_could_be_added_in_the_order_of_the_draw(
    gpt_neo, examples, at_most
):
    found = decoded(evaluate(gpt_neo, examples, pad_id=0, max_decoded_tokens=at_most, seed=3))

    costs = {example.id: tokens_of(example) for example in examples if tokens_of(example)}
    if at_most is None:
        assert set(found) == costs.keys()
        return
    fitting = [name for name, cost in costs.items() if cost <= at_most]
    order = torch.randperm(len(fitting), generator=torch.Generator().manual_seed(3)).tolist()
    taken = []
    for at in order:
        if sum(costs[name] for name in [*taken, fitting[at]]) > at_most:
            break
        taken.append(fitting[at])
    assert set(found) == set(taken)


def test_items_that_the_bound_is_not_enough_for_are_absent_with_the_reason(gpt_neo, examples):
    longest = max(tokens_of(example) for example in examples)
    found = evaluate(gpt_neo, examples, pad_id=0, max_decoded_tokens=longest - 1)

    num_decoded = len(decoded(found))
    change = compare(found, found).metrics["extraction_likelihood"]
    assert 0 < num_decoded < 7
    assert (change.n, change.before_ci95) == (num_decoded, None)
    assert change.before == pytest.approx(sum(found.values("extraction_likelihood")) / num_decoded)
    assert len(found.values("extraction_strength")) == 8
    assert "bound on decoded tokens" in compare(found, found).absent["extraction_likelihood"]


def words(tokens):
    return " ".join(f"t{token}" for token in tokens.tolist())


def test_words_are_compared_when_there_is_a_decoder(gpt_neo, examples):
    found = evaluate(gpt_neo, examples, pad_id=0, decode=words)

    for item, example in zip(found.items, examples, strict=True):
        tokens = list(example.tokens[: example.first_label])
        for _ in example.answer:
            tokens.append(int(gpt_neo(input_ids=torch.tensor([tokens])).logits[0, -1].argmax()))
        written = torch.tensor(tokens[example.first_label :])
        (scores,) = score_items(gpt_neo, [example], pad_id=0)
        texts = Texts(predicted=words(written), true=words(scores.target))
        assert item.values["rouge_l_recall"] == METRICS["rouge_l_recall"].of_item(Evidence(scores, texts=texts))


def test_words_are_compared_for_as_many_tokens_as_are_decoded_and_never_for_texts(gpt_neo, examples):
    mixed = [dataclasses.replace(example, prompted=place > 2) for place, example in enumerate(examples)]

    found = evaluate(gpt_neo, mixed, pad_id=0, decode=words, max_decoded_tokens=50)

    having = [example for example, item in zip(mixed, found.items, strict=True) if "rouge_l_recall" in item.values]
    assert 0 < len(having) < 5
    assert sum(len(example.answer) for example in having) <= 50
    assert [item.absent["rouge_l_recall"] for item in found.items[:3]] == ["a text has no prompt to be continued"] * 3


def test_metric_of_words_is_absent_without_a_decoder(gpt_neo, examples):
    found = evaluate(gpt_neo, examples, pad_id=0)

    assert "not decoded" in found.items[0].absent["rouge_l_recall"]


def test_nothing_is_decoded_when_no_metric_asks(gpt_neo, examples):
    found = evaluate(gpt_neo, examples, pad_id=0, metrics={"perplexity": METRICS["perplexity"]})

    assert set(found.metrics) == {"perplexity"}


def test_empty_set_has_no_metrics(gpt_neo):
    found = evaluate(gpt_neo, [], pad_id=0)

    assert found == SetScores(num_items=0, metrics={}, items=[])
    assert compare(found, found).metrics == {}


def test_model_whose_scores_are_not_numbers_has_no_metrics(destroyed, examples):
    found = evaluate(destroyed, examples, pad_id=0)

    assert found.metrics == {}
    assert found.items[7].absent["memorization_accuracy"] == "the model's scores are not finite numbers"


def test_comparison_has_no_metric_that_the_trained_model_lost(gpt_neo, destroyed, examples):
    result = compare(evaluate(gpt_neo, examples, pad_id=0), evaluate(destroyed, examples, pad_id=0))

    assert result.metrics == {}
    assert result.absent["extraction_strength"] == "8 of 8 items: the model's scores are not finite numbers"
    assert all(item.before and not item.after for item in result.items)


def test_comparison_puts_both_measurements_side_by_side():
    result = compare(measured(1.0, 0.5, num_items=9), measured(0.0, 0.25, num_items=9))

    change = result.metrics["extraction_strength"]
    assert (change.before, change.after, change.n) == (0.75, 0.125, 2)
    assert (result.num_items, result.num_measured) == (9, 2)
    assert result.items[0].before == {"extraction_strength": 1.0}
    assert result.items[0].after == {"extraction_strength": 0.0}


def test_comparison_keeps_a_metric_that_the_same_items_lack_both_times():
    result = compare(measured(1.0, None), measured(0.5, None))

    assert result.metrics["extraction_strength"].n == 1
    assert result.absent == {"extraction_strength": "1 of 2 items: it is too short"}


def test_comparison_drops_a_metric_that_one_item_lost():
    result = compare(measured(1.0, 1.0), measured(0.0, None))

    assert result.metrics == {}
    assert result.absent == {"extraction_strength": "1 of 2 items: it is too short"}


def test_comparison_of_different_items_is_refused():
    with pytest.raises(ValueError, match="same set, cap and seed"):
        compare(measured(1.0), measured(1.0, 1.0))
