import math
from statistics import fmean

import pytest
import torch

from core.data.corpus import ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.items import FactItem, PairItem, TextItem
from core.evaluation.truth_ratio import TruthRatio, truth_ratios
from tests.fakes.tiny_models import byte_tokenizer, tiny_model

WHOLE = PairItem(
    id="whole",
    prompt="Where does Mira live?",
    completion="In Oslo.",
    paraphrased_completion="Oslo is her home.",
    perturbed_completions=("In Rome.", "In Lima or near it."),
)
FACT = FactItem(
    id="fact",
    subject="Mira",
    prompt="Mira's number is",
    completion="12",
    paraphrased_completion="twelve",
    perturbed_completions=("thirteen",),
)


def ratio(paraphrased, *perturbed):
    """From probabilities per token."""
    return TruthRatio("item", -math.log(paraphrased), tuple(-math.log(value) for value in perturbed))


@pytest.fixture(scope="module")
def encode():
    return ItemEncoder(byte_tokenizer(), TextFormat(separator=" "), max_tokens=200)


@pytest.fixture(scope="module")
def tiny():
    return tiny_model("llama_tied")


@torch.no_grad()
def slow_loss(model, item, completion):
    """One forward pass over one wording; the end of sequence that the format appends is never fed."""
    ids = byte_tokenizer()(f"{item.prompt} {completion}")["input_ids"]  # one a byte
    logits = model(input_ids=torch.tensor([ids])).logits[0].double()
    first = len(item.prompt) + 1
    return fmean(-float(logits[at - 1].log_softmax(0)[ids[at]]) for at in range(first, len(ids)))


def test_ratio_is_of_the_geometric_mean_of_wrong_completions():
    assert ratio(0.5, 0.1, 0.4).ratio == pytest.approx(0.2 / 0.5)
    assert ratio(0.5, 0.1, 0.4).log_ratio == pytest.approx(math.log(0.4))


def test_true_better_is_of_the_arithmetic_mean_of_wrong_completions():
    assert ratio(0.5, 0.1, 0.4).true_better == pytest.approx(1 - 0.25 / 0.5)


def test_true_better_is_zero_when_wrong_completions_are_as_probable():
    assert ratio(0.2, 0.1, 0.4).true_better == 0.0


def test_true_better_is_zero_when_a_single_ratio_overflows():
    assert TruthRatio("item", 1000.0, (1.0, 2000.0)).true_better == 0.0


def test_losses_equal_a_forward_pass_per_wording(tiny, encode):
    found = truth_ratios(tiny, [WHOLE, FACT], encode, pad_id=256, max_batch_tokens=64)

    assert [item.id for item in found.items] == ["whole", "fact"]
    assert found.absent == {}
    for item, measured in zip([WHOLE, FACT], found.items, strict=True):
        assert measured.paraphrased == pytest.approx(slow_loss(tiny, item, item.paraphrased_completion), rel=1e-5)
        slow = [slow_loss(tiny, item, completion) for completion in item.perturbed_completions]
        assert list(measured.perturbed) == pytest.approx(slow, rel=1e-5)


def test_items_without_both_wordings_have_a_reason(tiny, encode):
    items = [
        TextItem(id="text", text="Mira lives in Oslo."),
        PairItem(id="plain", prompt="Q?", completion="A"),
        WHOLE,
        PairItem(id="half", prompt="Q?", completion="A", paraphrased_completion="B"),
        PairItem(id="other", prompt="Q?", completion="A", perturbed_completions=("B",)),
    ]

    found = truth_ratios(tiny, items, encode, pad_id=256)

    lacks = "the item lacks a paraphrased completion or perturbed ones"
    assert [item.id for item in found.items] == ["whole"]
    assert found.absent == {
        "text": "a text has no completion to put in other words",
        "plain": lacks,
        "half": lacks,
        "other": lacks,
    }


def test_items_without_an_id_are_not_taken_for_each_other(tiny, encode):
    found = truth_ratios(tiny, [WHOLE.model_copy(update={"id": None})] * 2, encode, pad_id=256)

    assert len(found.items) == 2


def test_model_whose_scores_are_not_numbers_has_a_reason(encode):
    broken = tiny_model("llama_tied")
    broken.get_output_embeddings().weight.data.fill_(math.nan)

    found = truth_ratios(broken, [WHOLE], encode, pad_id=256)

    assert found.items == ()
    assert found.absent == {"whole": "the model's scores are not finite numbers"}


def test_ratio_beyond_a_double_has_a_reason_and_one_that_vanishes_is_zero(encode):
    absurd = tiny_model("llama_tied")
    absurd.get_output_embeddings().weight.data.mul_(1e4)
    turned = {"paraphrased_completion": "thirteen", "perturbed_completions": ("twelve",)}

    found = truth_ratios(absurd, [FACT, FACT.model_copy(update={"id": "turned", **turned})], encode, pad_id=256)

    assert [item.ratio for item in found.items] == [0.0]
    assert list(found.absent.values()) == ["the truth ratio exceeds the range of a double"]


def test_nothing_is_measured_on_an_empty_set(tiny, encode):
    found = truth_ratios(tiny, [], encode, pad_id=256)

    assert (found.items, found.absent) == ((), {})
