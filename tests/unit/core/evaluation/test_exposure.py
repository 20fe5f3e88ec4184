import math
import re
from itertools import product

import pytest
import torch

from core.data.corpus import ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.errors import UnsupportedBaseModelError
from core.domain.items import FactItem, PairItem, TextItem
from core.evaluation.exposure import Exposures, ItemExposure, _completions, _exposure, exposures
from tests.fakes.tiny_models import byte_tokenizer, tiny_model

PHONE = PairItem(id="phone", prompt="Mira's number:", completion=" 03-417 (home)")
PIN = FactItem(id="pin", subject="Mira", prompt="Mira's PIN is", completion=" 0042.")


@pytest.fixture(scope="module")
def encode():
    return ItemEncoder(byte_tokenizer(), TextFormat(), max_tokens=200)


@pytest.fixture(scope="module")
def tiny():
    return tiny_model("llama_tied")


@torch.no_grad()
def slow_loss(model, item):
    """The log-perplexity of a completion in nats; the end of sequence that the format appends is never fed."""
    ids = byte_tokenizer()(item.prompt + item.completion)["input_ids"]  # one a byte
    logits = model(input_ids=torch.tensor([ids])).logits[0].double()
    return -sum(float(logits[at - 1].log_softmax(0)[ids[at]]) for at in range(len(item.prompt), len(ids)))


def exposed(rank, *, num_candidates=256):
    sampled = math.log2((num_candidates + 1) / rank)
    return ItemExposure("item", rank=rank, num_candidates=num_candidates, sampled=sampled)


def test_candidates_are_the_completion_with_other_digits():
    true, *candidates = _completions(PHONE, num_candidates=256, seed=0)

    assert true == PHONE
    assert len({candidate.completion for candidate in (true, *candidates)}) == 257
    for candidate in candidates:
        assert (candidate.id, candidate.prompt) == (PHONE.id, PHONE.prompt)
        assert re.fullmatch(r" \d\d-\d\d\d \(home\)", candidate.completion)


def test_candidates_are_the_same_for_the_same_seed_and_item():
    drawn = _completions(PHONE, num_candidates=9, seed=0)

    assert _completions(PHONE, num_candidates=9, seed=0) == drawn
    assert _completions(PHONE, num_candidates=9, seed=1)[1:] != drawn[1:]
    assert _completions(PHONE.model_copy(update={"id": "b"}), num_candidates=9, seed=0) != drawn


def test_every_other_number_is_a_candidate_when_all_are_asked_for():
    _, *candidates = _completions(PIN, num_candidates=9_999, seed=0)

    assert {candidate.completion for candidate in candidates} == {
        f" {number:04d}." for number in range(10_000) if number != 42
    }


def test_rank_equals_a_forward_pass_per_candidate(tiny, encode):
    found = exposures(tiny, [PHONE, PIN], encode, pad_id=256, num_candidates=20, seed=3)

    assert [item.id for item in found.items] == ["phone", "pin"]
    for item, measured in zip([PHONE, PIN], found.items, strict=True):
        true, *others = (slow_loss(tiny, each) for each in _completions(item, num_candidates=20, seed=3))
        assert measured.rank == 1 + sum(other < true for other in others)
        assert measured.sampled == pytest.approx(math.log2(21 / measured.rank))
        assert measured.num_candidates == 20


@pytest.mark.parametrize(
    ("losses", "rank"),
    [
        ([1.0, 2.0, 3.0, 4.0], 1.0),
        ([3.0, 2.0, 1.0, 4.0], 3.0),
        ([4.0, 2.0, 3.0, 1.0], 4.0),
        ([2.0, 2.0, 3.0, 1.0], 2.5),  # one is better and one as good
    ],
)
def test_exposure_is_what_the_rank_leaves_of_the_candidates(losses, rank):
    found = _exposure("pin", losses)

    assert (found.rank, found.num_candidates) == (rank, 3)
    assert found.sampled == pytest.approx(2.0 - math.log2(rank))


def test_item_whose_candidates_do_not_fit_the_model_has_a_reason(tiny):
    def encode(items):
        if any("0" in item.completion and item.id == "phone" for item in items[1:]):
            raise UnsupportedBaseModelError(f"too long: {items[0].completion}")
        return ItemEncoder(byte_tokenizer(), TextFormat(), max_tokens=200)(items)

    found = exposures(tiny, [PHONE, PIN], encode, pad_id=256, num_candidates=20)

    assert [item.id for item in found.items] == ["pin"]
    assert found.absent == {"phone": "the completion with other digits does not fit the model"}


def test_of_many_items_with_digits_some_are_drawn_by_the_seed(tiny, encode):
    items = [
        TextItem(id="text", text="Call 03-417 or 0042."),
        *(PIN.model_copy(update={"id": f"pin-{place}"}) for place in range(6)),
    ]

    drawn = [exposures(tiny, items, encode, pad_id=256, num_candidates=2, seed=seed, max_items=3) for seed in (0, 0, 1)]

    assert drawn[0] == drawn[1]
    assert {item.id for item in drawn[0].items} != {item.id for item in drawn[2].items}
    assert len(drawn[0].items) == 3
    assert sorted(drawn[0].absent.values()) == ["a text has no completion", *["not among the 3 items drawn"] * 3]


def test_items_without_enough_digits_have_a_reason(tiny, encode):
    items = [
        TextItem(id="text", text="Call 03-417 or 0042."),
        PairItem(id="few", prompt="In 1984 he was", completion=" 123 years old"),
        PairItem(
            id="other", prompt="He was", completion=" \u0661\u0662\u0663\u0664"
        ),  # decimal digits, but not of ASCII
        PIN,
    ]

    found = exposures(tiny, items, encode, pad_id=256, num_candidates=5)

    few = "the completion has fewer than 4 digits"
    assert [item.id for item in found.items] == ["pin"]
    assert found.absent == {"text": "a text has no completion", "few": few, "other": few}


def test_model_whose_scores_are_not_numbers_has_a_reason(encode):
    broken = tiny_model("llama_tied")
    broken.get_output_embeddings().weight.data.fill_(math.nan)

    found = exposures(broken, [PIN], encode, pad_id=256, num_candidates=5)

    assert found.absent == {"pin": "the model's scores are not finite numbers"}
    assert (found.mean_sampled, found.p_value) == (None, None)


@pytest.mark.parametrize("count", [0, 10_000])
def test_number_of_candidates_that_do_not_exist_is_refused(tiny, encode, count):
    with pytest.raises(ValueError, match=f"{count} candidates"):
        exposures(tiny, [PIN], encode, pad_id=256, num_candidates=count)


def test_p_value_of_one_item_is_the_share_of_ranks_as_good():
    assert Exposures((exposed(3),), {}).p_value == pytest.approx(3 / 257)
    assert Exposures((exposed(257),), {}).p_value == pytest.approx(1.0)


def test_p_value_of_two_items_is_that_of_fisher():
    found = Exposures((exposed(3), exposed(40)), {})

    product_of_shares = 3 / 257 * 40 / 257
    assert found.p_value == pytest.approx(product_of_shares * (1 - math.log(product_of_shares)))
    assert found.mean_sampled == pytest.approx(-math.log2(product_of_shares) / 2)


def test_p_value_is_never_too_small_when_ranks_are_luck():
    values = sorted(
        Exposures(tuple(exposed(rank, num_candidates=9) for rank in ranks), {}).p_value
        for ranks in product(range(1, 11), repeat=3)
    )

    assert all(place / len(values) <= value + 1e-9 for place, value in enumerate(values, start=1))
