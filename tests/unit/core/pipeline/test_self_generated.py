from dataclasses import replace

import pytest
import torch

from core.domain.items import PairItem, TextItem
from core.modeling.base_model import load_base_model
from core.pipeline.self_generated import self_generated
from tests.fakes.clock import FakeClock
from tests.fakes.item_store import FakeItemStore


@pytest.fixture(scope="module")
def base(base_path):
    return load_base_model(base_path, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def store():
    return FakeItemStore()


def test_nothing_is_written_where_a_retain_set_is_given(base, make_task):
    store = FakeItemStore()
    assert self_generated(make_task(), base, store, FakeClock()) == []
    assert store.sets == {}


def test_texts_are_written_once_and_are_the_same_for_every_job(base, make_task, store):
    task = replace(make_task(), retain=None)
    first = self_generated(task, base, store, FakeClock())
    stored = dict(store.sets)
    again = self_generated(replace(task, job_id="job_2"), base, store, FakeClock())
    assert first == again
    assert len(first) > 100
    assert store.sets == stored
    assert self_generated(task, base, FakeItemStore(), FakeClock()) == first


def test_texts_that_recite_a_forget_item_are_left_out(base, make_task):
    task, store = replace(make_task(), retain=None), FakeItemStore()
    self_generated(task, base, store, FakeClock())
    recites, touches, other = "I know: Ada lives in Paris.", "Ada is here, in Rome.", "Nothing of the sort."
    ((set_id, written),) = store.sets.items()
    rows = tuple(TextItem(id=str(place), text=text) for place, text in enumerate([recites, touches, other]))
    store.sets[set_id] = written.model_copy(update={"items": rows})
    asked = make_task(forget=[PairItem(id="a", prompt="Where does Ada live?", completion="Ada lives in Paris.")])

    kept = self_generated(replace(asked, retain=None), base, store, FakeClock())

    assert [row.text for row in kept] == [touches, other]


def test_torch_random_state_is_left_alone(base, make_task):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    self_generated(replace(make_task(), retain=None), base, FakeItemStore(), FakeClock())
    assert torch.equal(torch.rand(1), expected)
