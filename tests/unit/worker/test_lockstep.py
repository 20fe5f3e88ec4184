from multiprocessing import Pipe

import pytest

from core.domain.errors import ArtifactMissingError, LeaseLostError, NotFoundError
from core.domain.job import Stage
from tests.fakes.artifact_store import FakeArtifactStore
from tests.fakes.examples import an_item_set
from tests.fakes.item_store import FakeItemStore
from tests.fakes.job_monitor import FakeJobMonitor
from worker.lockstep import (
    Ear,
    HeardCache,
    HeardMonitor,
    HeardTexts,
    Reply,
    ToldCache,
    ToldMonitor,
    ToldTexts,
    Voice,
)

SECRET = "a text that nobody else may see"


@pytest.fixture
def pipe():
    ear, voice = Pipe(duplex=False)
    with ear, voice:
        yield Voice([voice]), Ear(ear.recv)


def test_others_get_the_bytes_of_the_first_and_store_nothing(pipe):
    voice, ear = pipe
    store = FakeArtifactStore()
    ToldCache(store, voice).put("a", b"fisher")
    HeardCache(ear).put("b", b"fisher")

    assert ToldCache(store, voice).get("a") == HeardCache(ear).get("a") == b"fisher"
    assert list(store.artifacts) == ["a"]


def test_others_get_the_texts_of_the_first(pipe):
    voice, ear = pipe
    items = FakeItemStore()
    ToldTexts(items, voice).put(an_item_set("set_1"))

    assert ToldTexts(items, voice).get("set_1") == HeardTexts(ear).get("set_1") == an_item_set("set_1")


@pytest.mark.parametrize("checkpoint", [None, b"a checkpoint"])
def test_others_resume_where_the_first_does(pipe, checkpoint):
    voice, ear = pipe
    first = ToldMonitor(FakeJobMonitor(checkpoint), voice)

    assert first.load_checkpoint() == HeardMonitor(ear).load_checkpoint() == checkpoint


def test_first_alone_tells_how_far_the_run_is(pipe):
    voice, ear = pipe
    told = FakeJobMonitor()
    for monitor in (ToldMonitor(told, voice), HeardMonitor(ear)):
        monitor.enter(Stage.TRAIN, total_steps=3)
        monitor.advance(2)
        monitor.metrics("stop check", {"es": 0.5})
        monitor.save_checkpoint(b"state")

    assert [(entered.stage, entered.total_steps) for entered in told.entered] == [(Stage.TRAIN, 3)]
    assert (told.steps, told.measured, told.checkpoints) == ([2], [("stop check", {"es": 0.5})], [b"state"])


def test_exception_of_the_first_is_raised_by_all(pipe):
    voice, ear = pipe
    with pytest.raises(ArtifactMissingError):
        ToldCache(FakeArtifactStore(), voice).get("a")
    with pytest.raises(ArtifactMissingError):
        HeardCache(ear).get("a")
    with pytest.raises(NotFoundError):
        ToldTexts(FakeItemStore(), voice).get("set_1")
    with pytest.raises(NotFoundError):
        HeardTexts(ear).get("set_1")


def test_message_of_an_exception_stays_where_it_is(pipe):
    class Talks(FakeJobMonitor):
        def load_checkpoint(self):
            raise LeaseLostError(SECRET)

    voice, ear = pipe
    with pytest.raises(LeaseLostError, match=SECRET):
        ToldMonitor(Talks(), voice).load_checkpoint()
    with pytest.raises(LeaseLostError) as heard:
        HeardMonitor(ear).load_checkpoint()
    assert SECRET not in str(heard.value)


def test_process_that_is_told_something_else_says_so_without_the_value():
    with pytest.raises(TypeError, match="out of step") as wrong:
        Ear(lambda: Reply(SECRET)).heard(bytes)
    assert SECRET not in str(wrong.value)
