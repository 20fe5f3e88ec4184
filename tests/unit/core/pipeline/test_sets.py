from dataclasses import replace

import pytest
import torch

from core.domain.catalog import GaGdGeneralOptions
from core.domain.errors import UnsupportedBaseModelError
from core.domain.items import PairItem, TextItem
from core.modeling.base_model import load_base_model
from core.pipeline.sets import MAX_UNSEEN, encode_sets
from tests.unit.core.pipeline.conftest import item_set, pairs


@pytest.fixture(scope="module")
def base(base_path):
    return load_base_model(base_path, device=torch.device("cpu"))


def ids(examples):
    return {example.id for example in examples}


def test_measured_retain_rows_are_kept_out_of_training(base, make_task):
    sets = encode_sets(make_task(retain=pairs(40, "r")), base)
    assert sets.measures_unseen
    assert len(sets.retain_measured) == 8
    assert ids(sets.retain_trained) | ids(sets.retain_measured) == {f"r-{place}" for place in range(40)}
    assert not ids(sets.retain_trained) & ids(sets.retain_measured)


def test_measured_rows_are_bounded(base, make_task):
    assert len(encode_sets(make_task(retain=pairs(1000, "r")), base).retain_measured) == MAX_UNSEEN


def test_small_retain_set_is_measured_as_it_is(base, make_task):
    sets = encode_sets(make_task(retain=pairs(19, "r")), base)
    assert not sets.measures_unseen
    assert sets.retain_measured == sets.retain_trained


def test_split_is_the_same_for_every_job(base, make_task):
    first = encode_sets(make_task(forget=pairs(2, "f"), seed=1), base)
    second = encode_sets(make_task(forget=pairs(5, "g"), seed=2), base)
    assert first.retain_trained == second.retain_trained


def test_retain_items_that_are_to_be_forgotten_are_left_out(base, make_task):
    retain = pairs(24, "r")
    twin = PairItem(id="other", prompt=retain[3].prompt, completion=f"{retain[3].completion}  ")
    sets = encode_sets(make_task(forget=[twin], retain=retain), base)
    assert sets.excluded_retain == 1
    assert "r-3" not in ids(sets.retain_trained) | ids(sets.retain_measured)


def test_split_stays_when_a_request_takes_a_row_out(base, make_task):
    retain = pairs(40, "r")
    whole = encode_sets(make_task(retain=retain), base)
    rest = encode_sets(make_task(forget=[retain[3]], retain=retain), base)
    assert ids(rest.retain_measured) == ids(whole.retain_measured) - {"r-3"}


def test_rows_that_are_there_twice_are_there_once(base, make_task):
    twice = [row.model_copy(update={"id": f"{row.id}-{copy}"}) for copy in "ab" for row in pairs(40, "r")]
    sets = encode_sets(make_task(retain=twice), base)
    assert sets.duplicate_retain == 40
    assert len(sets.retain_trained) + len(sets.retain_measured) == 40


def test_text_that_equals_a_retained_pair_is_left_out_too(base, make_task):
    retain = pairs(24, "r")
    text = TextItem(id="t", text=f"{retain[3].prompt}{retain[3].completion}")
    assert encode_sets(make_task(forget=[text], retain=retain), base).excluded_retain == 1


def test_holdout_rows_that_training_sees_are_left_out(base, make_task):
    holdout = [*pairs(9, "h"), pairs(24, "r")[2], pairs(3, "f")[1]]
    sets = encode_sets(make_task(holdout=holdout), base)
    assert len(sets.holdout) == 9
    assert sets.excluded_holdout == 2


def test_retain_set_that_is_wholly_to_be_forgotten_is_refused(base, make_task):
    with pytest.raises(UnsupportedBaseModelError, match="nothing is left"):
        encode_sets(make_task(forget=pairs(3, "x"), retain=pairs(3, "x")), base)


def test_rows_set_aside_are_trained_on_when_nothing_else_is_left(base, make_task):
    retain = pairs(40, "r")
    trained = ids(encode_sets(make_task(retain=retain), base).retain_trained)
    sets = encode_sets(make_task(forget=[row for row in retain if row.id in trained], retain=retain), base)
    assert ids(sets.retain_trained) == ids(sets.retain_measured) == {row.id for row in retain} - trained
    assert not sets.measures_unseen


def test_no_holdout_set_is_none_and_not_empty(base, make_task):
    assert encode_sets(make_task(), base).holdout is None
    assert len(encode_sets(make_task(holdout=pairs(9, "h")), base).holdout) == 9


def texts(count, name):
    return [TextItem(id=f"{name}-{place}", text=f"{name} number {place} is here") for place in range(count)]


def on_general_corpus(task, items):
    method = GaGdGeneralOptions(r=4)
    general = None if items is None else item_set(items, "general")
    return replace(task, spec=task.spec.model_copy(update={"method": method}), general=general)


def test_general_corpus_is_trained_on_and_the_retain_set_measured(base, make_task):
    sets = encode_sets(on_general_corpus(make_task(retain=pairs(40, "r")), texts(5, "g")), base)
    assert ids(sets.retain_trained) == {f"g-{place}" for place in range(5)}
    assert ids(sets.retain_measured) <= {f"r-{place}" for place in range(40)}


def test_general_texts_that_are_to_be_forgotten_or_measured_are_left_out(base, make_task):
    retain = pairs(40, "r")
    aside = [row for row in retain if row.id in ids(encode_sets(make_task(retain=retain), base).retain_measured)]
    task = make_task(forget=texts(1, "g"), retain=retain)
    sets = encode_sets(on_general_corpus(task, [*texts(3, "g"), *aside]), base)
    assert ids(sets.retain_trained) == {"g-1", "g-2"}
    assert sets.excluded_retain == 1


def test_generated_texts_stand_in_for_what_is_missing(base, make_task):
    task = replace(make_task(), retain=None)
    sets = encode_sets(task, base, texts(30, "w"))
    assert len(sets.retain_trained) + len(sets.retain_measured) == 30
    assert sets.measures_unseen
