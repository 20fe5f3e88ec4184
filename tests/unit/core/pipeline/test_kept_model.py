"""One job after another on one loaded base model: nothing of the first reaches the second, or stays."""

import gc
import weakref
import zipfile
from dataclasses import replace

import pytest

from core.domain.catalog import LawOptions, LokuOptions, OfmuOptions
from core.domain.items import FactItem, PairItem
from core.domain.spec import ProbeSpec
from core.modeling.kept_base_model import KeptBaseModel
from core.pipeline.probe import ProbeTask, probe
from core.pipeline.run import run
from tests.fakes.artifact_store import FakeArtifactStore
from tests.fakes.item_store import FakeItemStore
from tests.fakes.job_monitor import FakeJobMonitor
from tests.unit.core.pipeline.conftest import NOW, pairs

SENTINEL = "Quetzalcoatlus"
TOLD = f"{SENTINEL} "  # as every forget text has it, and no line of this file


def clock():
    return NOW


def forget_sentinel():
    return [
        PairItem(id=f"s-{place}", prompt=f"Who is {place}?", completion=f" {SENTINEL} {place}") for place in range(3)
    ]


def ran(task, **load):
    return run(task, FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), clock, **load)


def weights(outcome) -> bytes:
    with zipfile.ZipFile(outcome.adapter_zip) as archive:
        return archive.read("adapter_model.safetensors")


def facts():
    return [
        FactItem(
            id=f"f-{place}", subject=f"House {place}", prompt=f"House {place} is", completion=f" {place * 37 % 101}"
        )
        for place in range(3)
    ]


def timeless(outcome):
    return outcome.report.model_copy(update={"timings_seconds": {}})


def probe_of(task, adapter_zip=None):
    spec = ProbeSpec(
        base_model="tiny",
        weights_sha256=task.spec.weights_sha256,
        policy="standard-1",
        item_set_id="set_probed",
        num_items=len(task.forget.items),
        holdout_set_id=None,
        job_id=adapter_zip and "job_1",
    )
    return ProbeTask("prb_1", spec, task.base_model, task.forget, None, adapter_zip, "cpu", task.work_dir / "probe")


METHODS = {
    "loku": LokuOptions(r=4, lora_alpha=8, batch_size=4, max_steps=14),
    "rila and its penalty": LokuOptions(r=4, batch_size=4, max_steps=4, initializer="rila", rol_weight=1.0),
    "law": LawOptions(r=4, target_steps=3, edit_steps=3),
}


@pytest.mark.parametrize("options", METHODS.values(), ids=METHODS)
def test_job_after_another_gives_the_same_adapter_as_in_a_process_of_its_own(make_task, options):
    def task(work):
        made = make_task(work=work, forget=facts(), holdout=pairs(7, "h"))
        return replace(made, spec=made.spec.model_copy(update={"method": options}))

    alone = ran(task("alone"))
    kept = KeptBaseModel()
    ran(make_task(work="before", forget=forget_sentinel(), seed=3), load=kept)

    after = ran(task("after"), load=kept)

    assert weights(after) == weights(alone)
    assert timeless(after) == timeless(alone)
    assert kept.changes() == []


def test_checkpointing_changes_neither_the_adapter_nor_the_model(make_task):
    kept, again = KeptBaseModel(), KeptBaseModel()

    alike = ran(replace(make_task(work="checkpointed"), gradient_checkpointing=True), load=kept)

    assert weights(alike) == weights(ran(make_task(), load=again))
    assert kept.changes() == []


def test_method_that_differentiates_twice_goes_without_checkpointing(make_task):
    made = make_task()
    spec = made.spec.model_copy(update={"method": OfmuOptions(r=4, batch_size=2, max_steps=2, inner_steps=1)})
    assert ran(replace(made, spec=spec, gradient_checkpointing=True)).adapter_zip


def test_probe_of_an_adapter_leaves_the_base_model_as_it_was(make_task):
    kept, task = KeptBaseModel(), make_task()
    before = probe(probe_of(task), FakeJobMonitor(), clock, kept)
    adapter_zip = ran(task).adapter_zip.read_bytes()

    adapted = probe(probe_of(task, adapter_zip), FakeJobMonitor(), clock, kept)

    assert adapted.items != before.items
    assert kept.changes() == []
    after = probe(probe_of(task), FakeJobMonitor(), clock, kept)
    assert after.items == before.items


def test_nothing_of_a_job_stays_beside_the_model(make_task):
    kept = KeptBaseModel()
    task = make_task(forget=forget_sentinel())
    left = [weakref.ref(part) for part in (task.forget, task.forget.items[0], task.retain)]

    outcome = ran(task, load=kept)

    assert reachable_texts() > 0  # the search does find them, as long as they are there
    del task, outcome
    gc.collect()
    assert [ref() for ref in left] == [None, None, None]
    assert reachable_texts() == 0
    assert kept.changes() == []


def reachable_texts() -> int:
    """Return how many strings of this process hold a text of the job: whatever refers to whatever is followed."""
    found, following = set(), gc.get_objects()
    while following:
        held = gc.get_referents(*following)
        found |= {id(text) for text in held if type(text) is str and TOLD in text and text is not TOLD}
        # The collector's list lacks dicts and tuples in which there is nothing to collect, as of strings alone.
        following = [each for each in held if type(each) in {dict, tuple} and each and not gc.is_tracked(each)]
    return len(found)
