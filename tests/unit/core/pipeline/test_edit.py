"""Jobs of the method law, from texts to package, on a model that recalls facts from its MLPs."""

import json
import zipfile
from dataclasses import replace

import pytest
import torch

from core.domain.catalog import LawOptions
from core.domain.errors import DivergedError, UnsupportedBaseModelError
from core.domain.items import PairItem
from core.domain.job import Stage
from core.domain.report import Verdict
from core.modeling.adapter import attach
from core.modeling.base_model import weights_digest
from core.pipeline import edit
from core.pipeline.edit import scale_down
from core.pipeline.run import run
from core.unlearning.law.closed_form import LowRankEdit
from core.unlearning.law.export import anchored_pairs
from core.unlearning.training import StopCheck
from tests.fakes.artifact_store import FakeArtifactStore
from tests.fakes.item_store import FakeItemStore
from tests.fakes.job_monitor import FakeJobMonitor
from tests.fakes.recalling_model import known_facts, recalling_model
from tests.fakes.tiny_models import byte_tokenizer, tiny_model
from tests.unit.core.pipeline.conftest import NOW

FORGET, RETAIN = known_facts()[:2], known_facts()[2:]
FORGETS = {"layers": [0, 1], "norm_limit": 3.0, "contexts": 0, "r": 4}


@pytest.fixture(scope="module")
def recalling_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("recalling")
    recalling_model().save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


@pytest.fixture
def law_task(make_task, recalling_path):
    def make(*, forget=FORGET, work="work", **options):
        task, digest = make_task(forget=forget, retain=RETAIN, work=work), weights_digest(recalling_path)
        spec = task.spec.model_copy(update={"method": LawOptions(**(FORGETS | options)), "weights_sha256": digest})
        changes = {"source": str(recalling_path), "weights_sha256": digest, "max_tokens": 64}
        return replace(task, spec=spec, base_model=task.base_model.model_copy(update=changes))

    return make


def ran(task, *, monitor=None, cache=None):
    return run(task, monitor or FakeJobMonitor(), cache or FakeArtifactStore(), FakeItemStore(), lambda: NOW)


def weights(outcome) -> bytes:
    with zipfile.ZipFile(outcome.adapter_zip) as archive:
        return archive.read("adapter_model.safetensors")


def test_job_forgets_the_facts_keeps_the_others_and_says_how(law_task):
    outcome = ran(law_task())

    report = outcome.report
    assert report.forget.metrics["exact_memorization"].after < 0.7 * report.forget.metrics["exact_memorization"].before
    assert report.retain.metrics["exact_memorization"].after > 0.9 * report.retain.metrics["exact_memorization"].before
    assert report.verdict is not Verdict.DAMAGED
    assert (report.adapter_rank, report.fisher) == (8, None)
    assert (report.training.steps, report.training.planned_steps, report.training.stopped_early) == (50, 50, False)
    edit = report.edit
    assert (edit.facts, edit.moments_from_cache) == (2, False)
    assert [layer.layer for layer in edit.layers] == [0, 1]
    assert [layer.module for layer in edit.layers] == report.target_modules
    assert all(0 < layer.relative_norm < 3.5 and 0 < layer.disturbance < 1 for layer in edit.layers)


def test_package_is_what_plain_peft_loads(law_task):
    with zipfile.ZipFile(ran(law_task()).adapter_zip) as archive:
        config = json.loads(archive.read("adapter_config.json"))
        manifest = json.loads(archive.read("manifest.json"))
        card = archive.read("README.md").decode()

    assert (config["r"], config["lora_alpha"]) == (8, 8)
    assert config["target_modules"] == ["transformer.h.0.mlp.c_proj", "transformer.h.1.mlp.c_proj"]
    assert manifest["verification"]["relative_logit_difference"] < 1e-4
    assert "rank 8" in card


def test_every_stage_is_announced_in_order_and_its_steps_are_counted(law_task):
    monitor = FakeJobMonitor()

    ran(law_task(early_stopping=False), monitor=monitor)

    assert [entered.stage for entered in monitor.entered] == list(Stage)
    totals = {entered.stage: entered.total_steps for entered in monitor.entered}
    assert (totals[Stage.INITIALIZE], totals[Stage.TRAIN]) == (27, 2)
    steps = {entered.stage: steps for entered, steps in monitor.by_stage}
    assert (steps[Stage.INITIALIZE], steps[Stage.TRAIN]) == ([*range(1, 28)], [1, 2])


def test_same_task_gives_the_same_weights_and_takes_the_moments_from_the_cache(law_task):
    cache = FakeArtifactStore()

    first, second = ran(law_task(work="a"), cache=cache), ran(law_task(work="b"), cache=cache)

    assert [outcome.report.edit.moments_from_cache for outcome in (first, second)] == [False, True]
    assert weights(first) == weights(second)
    assert [key.partition("/")[0] for key in cache.artifacts] == ["moments"]


def an_adapter():
    model = tiny_model("gpt_neo")
    edit = LowRankEdit(torch.rand(32, 3, dtype=torch.float64), torch.rand(3, 128, dtype=torch.float64))
    return attach(model, {"transformer.h.0.mlp.c_proj": anchored_pairs(edit, rank=2)}, scaling=1.0)


def added(adapter):
    (layer,) = adapter.layers.values()
    return (layer.b @ layer.a - layer.anchor_b @ layer.anchor_a).detach()


def test_edit_is_scaled_down_to_the_least_that_was_found_to_forget():
    adapter = an_adapter()
    whole = added(adapter)

    def measure():
        return StopCheck(metrics={}, forgotten=bool(added(adapter).norm() > 0.3 * whole.norm()), margin=None, aim=0.0)

    assert scale_down(adapter, measure) == 5 / 16
    torch.testing.assert_close(added(adapter), 5 / 16 * whole)


def test_edit_stays_whole_where_all_of_it_does_not_forget():
    adapter = an_adapter()
    whole = added(adapter)

    assert scale_down(adapter, lambda: StopCheck(metrics={}, forgotten=False, margin=None, aim=0.0)) == 1.0
    assert torch.equal(added(adapter), whole)


def test_job_that_cannot_forget_says_so(law_task):
    monitor = FakeJobMonitor()

    outcome = ran(law_task(norm_limit=0.01), monitor=monitor)

    assert outcome.report.edit.scale == 1.0
    assert outcome.report.verdict is Verdict.NOT_FORGOTTEN
    assert [name for name, _ in monitor.measured] == ["stop check"]


def test_report_page_tells_of_the_edit_and_holds_no_text(law_task):
    outcome = ran(law_task())

    assert "The adapter was solved for, not trained: an edit of 2 weights for 2 facts" in outcome.report_html
    assert "Training took" not in outcome.report_html
    everything = outcome.report.model_dump_json() + outcome.report_html
    assert not [item for item in (*FORGET, *RETAIN) if item.prompt in everything]


def test_job_with_a_fact_that_names_no_subject_fails(law_task):
    with pytest.raises(UnsupportedBaseModelError, match="names no subject"):
        ran(law_task(forget=[PairItem(id="a", prompt="Code of A is", completion=" bcd")]))


@pytest.mark.parametrize("after", [7.0, float("nan")])
def test_edit_that_leaves_less_than_a_guess_is_not_delivered(law_task, monkeypatch, after):
    losses = iter([0.5, after])  # log(256) is 5.5
    monkeypatch.setattr(edit, "watched_loss", lambda *_: next(losses))
    with pytest.raises(DivergedError, match="lower norm_limit"):
        ran(law_task(early_stopping=False))
