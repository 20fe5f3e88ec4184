import json
import zipfile
from dataclasses import replace

import pytest
import torch

from core.domain.base_model import ReferenceModel
from core.domain.errors import BaseModelChangedError, OutOfMemoryError
from core.domain.job import Stage
from core.domain.policy import POLICIES, PlannedAttack
from core.domain.report import Verdict
from core.domain.request import Disposition
from core.pipeline.run import run
from tests.fakes.artifact_store import FakeArtifactStore
from tests.fakes.item_store import FakeItemStore
from tests.fakes.job_monitor import FakeJobMonitor
from tests.fakes.tiny_models import byte_tokenizer, tiny_model
from tests.unit.core.pipeline.conftest import NOW, pairs, with_source


def clock():
    return NOW


def weights(outcome) -> bytes:
    with zipfile.ZipFile(outcome.adapter_zip) as archive:
        return archive.read("adapter_model.safetensors")


def test_every_stage_is_announced_in_order(make_task):
    monitor = FakeJobMonitor()
    outcome = run(make_task(), monitor, FakeArtifactStore(), FakeItemStore(), clock)
    assert [entered.stage for entered in monitor.entered] == list(Stage)
    assert monitor.entered[4].total_steps == 14
    assert set(outcome.report.timings_seconds) == set(Stage)


def test_package_and_report_tell_of_the_same_job(make_task):
    outcome = run(make_task(holdout=pairs(7, "h")), FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), clock)
    with zipfile.ZipFile(outcome.adapter_zip) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        names = set(archive.namelist())
    assert names == {"README.md", "adapter_config.json", "adapter_model.safetensors", "manifest.json"}
    assert manifest["spec"]["method"] == outcome.report.method.model_dump()
    assert manifest["verdict"] == outcome.report.verdict
    assert outcome.report.holdout is not None
    assert outcome.report.adapter_rank == 8
    assert [item.item_id for item in outcome.dispositions] == ["f-0", "f-1", "f-2"]


def test_same_task_gives_the_same_weights(make_task):
    first = run(make_task(work="a"), FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), clock)
    second = run(make_task(work="b"), FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), clock)
    assert weights(first) == weights(second)


def test_resumed_run_gives_the_same_weights_and_keeps_the_fisher_summary(make_task):
    options = {"early_stopping": False}
    monitor = FakeJobMonitor()
    whole = run(make_task(work="a", **options), monitor, FakeArtifactStore(), FakeItemStore(), clock)
    resumed = run(
        make_task(work="b", **options),
        FakeJobMonitor(monitor.checkpoints[0]),
        FakeArtifactStore(),
        FakeItemStore(),
        clock,
    )
    assert resumed.report.training.resumed_from_step == 10
    assert weights(resumed) == weights(whole)
    assert resumed.report.fisher == whole.report.fisher


def test_second_job_takes_the_retain_fisher_from_the_cache_and_gives_the_same_weights(make_task):
    cache = FakeArtifactStore()
    first = run(make_task(work="a"), FakeJobMonitor(), cache, FakeItemStore(), clock)
    second = run(make_task(work="b"), FakeJobMonitor(), cache, FakeItemStore(), clock)
    assert not first.report.fisher.retain_from_cache
    assert second.report.fisher.retain_from_cache
    assert weights(first) == weights(second)


def test_fisher_of_a_set_that_a_request_took_rows_out_of_is_not_kept(make_task):
    cache = FakeArtifactStore()
    outcome = run(make_task(forget=pairs(24, "r")[:2]), FakeJobMonitor(), cache, FakeItemStore(), clock)
    assert outcome.report.excluded_retain_items == 2
    assert not cache.artifacts


def test_fisher_of_texts_that_the_model_wrote_is_not_kept(make_task):
    task = replace(make_task(self_generated=True), retain=None)
    task = replace(task, spec=task.spec.model_copy(update={"registered_retain_set_id": None}))
    cache = FakeArtifactStore()
    assert run(task, FakeJobMonitor(), cache, FakeItemStore(), clock).report.fisher
    assert not cache.artifacts


@pytest.mark.parametrize("calls", [{"get"}, {"put"}, {"get", "put"}])
def test_store_that_is_away_costs_the_shared_fisher_and_not_the_run(make_task, calls):
    class Away(FakeArtifactStore):
        def get(self, key):
            self.away = "get" in calls
            return super().get(key)

        def put(self, key, payload):
            self.away = "put" in calls
            super().put(key, payload)

    whole = run(make_task(work="a"), FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), clock)
    away = run(make_task(work="b"), FakeJobMonitor(), Away(), FakeItemStore(), clock)
    assert weights(away) == weights(whole)
    assert not away.report.fisher.retain_from_cache


def test_job_keeps_the_adapter_out_of_the_retain_directions_where_asked(make_task):
    free, kept = (
        run(
            make_task(work=f"w{weight}", initializer="rila", rol_weight=weight),
            FakeJobMonitor(),
            FakeArtifactStore(),
            FakeItemStore(),
            clock,
        )
        for weight in (0.0, 100.0)
    )
    assert weights(free) != weights(kept)


def test_plain_lora_needs_no_fisher(make_task):
    outcome = run(make_task(initializer="lora"), FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), clock)
    assert outcome.report.fisher is None


def test_paper_mode_is_reported_as_such(make_task):
    outcome = run(
        make_task(initializer="fila", fisher="paper", fisher_epsilon=1e-5),
        FakeJobMonitor(),
        FakeArtifactStore(),
        FakeItemStore(),
        clock,
    )
    assert outcome.report.fisher.mode == "paper"


def test_no_text_is_in_report_page_or_package(make_task):
    outcome = run(make_task(), FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), clock)
    everything = outcome.report.model_dump_json() + outcome.report_html
    with zipfile.ZipFile(outcome.adapter_zip) as archive:
        everything += "".join(archive.read(name).decode("latin-1") for name in archive.namelist())
    for item in [*pairs(3, "f"), *pairs(24, "r")]:
        assert item.completion.strip() not in everything


def test_path_of_the_server_is_told_to_nobody(make_task, base_path):
    outcome = run(make_task(), FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), clock)
    with zipfile.ZipFile(outcome.adapter_zip) as archive:
        told = "".join(archive.read(name).decode("latin-1") for name in archive.namelist())
    assert str(base_path) not in told + outcome.report_html + outcome.report.model_dump_json()


def test_full_device_fails_the_job_with_the_remedy(make_task):
    class FullDevice(FakeJobMonitor):
        def advance(self, step):
            raise torch.OutOfMemoryError

    with pytest.raises(OutOfMemoryError, match="batch_size"):
        run(make_task(), FullDevice(), FakeArtifactStore(), FakeItemStore(), clock)


def test_weights_that_changed_since_registration_fail_the_job(make_task, tmp_path):
    tiny_model("gpt_neo", seed=9).save_pretrained(tmp_path / "other")
    byte_tokenizer().save_pretrained(tmp_path / "other")
    with pytest.raises(BaseModelChangedError):
        run(with_source(make_task(), tmp_path / "other"), FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), clock)


def under(task, policy):
    return replace(task, spec=task.spec.model_copy(update={"policy": policy}))


@pytest.mark.parametrize("policy", ["standard-2", "standard-3", "strict-1"])
def test_report_holds_what_the_policy_asks_for(make_task, policy):
    task = under(make_task(holdout=pairs(7, "h"), max_steps=2), policy)  # too few to say that no action is needed

    report = run(task, FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), clock).report

    assert report.thresholds.policy == policy
    assert {attack.name for attack in report.attacks} >= {
        attack.name for attack in POLICIES[policy].attacks if attack.at_most
    }
    left_out = {name.partition(" (")[0] for name in report.not_measured}
    made_or_left_out = {attack.name for attack in report.attacks} | left_out
    assert made_or_left_out >= {"quantisation", "prompts", "sampling", "relearning"}
    assert report.membership is not None
    assert "7 items" in report.membership.absent["min_k"] or "3 items" in report.membership.absent["min_k"]
    assert report.not_measured.keys() >= {"truth_ratio", "forget_quality", "exposure"}
    assert all(change.n < 8 or change.after_ci95 for change in report.forget.metrics.values())


def test_reference_model_stands_beside_base_and_result(make_task, base_path):
    task = make_task(holdout=pairs(7, "h"), max_steps=2)
    reference = ReferenceModel(source=str(base_path), revision=None, weights_sha256=task.spec.weights_sha256)
    task = replace(task, base_model=task.base_model.model_copy(update={"reference": reference}))

    report = run(under(task, "standard-2"), FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), clock).report

    assert report.forget.metrics["perplexity"].reference == report.forget.metrics["perplexity"].before
    assert report.membership is not None
    assert report.membership.reference == report.membership.before
    assert all(result.reference for result in report.attacks if result.attacked)


def test_attacks_that_cost_more_than_the_training_are_left_out_with_the_reason(make_task):
    short = run(
        under(make_task(max_steps=1), "standard-2"), FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), clock
    )

    assert {result.name for result in short.report.attacks} == {"quantisation", "prompts"}
    assert "forward tokens" in short.report.not_measured["relearning"]


def test_forgotten_answers_are_taught_beside_those_of_the_holdout_set(make_task, monkeypatch):
    taught = PlannedAttack(name="relearning", budget={"variants": ("answers",), "steps": (0, 2), "batch_size": 2})
    alone = POLICIES["standard-3"].model_copy(update={"attacks": (taught,), "attack_share": None})
    monkeypatch.setitem(POLICIES, alone.name, alone)
    task = under(make_task(holdout=pairs(7, "h"), max_steps=1), alone.name)

    outcome = run(task, FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), clock)

    (result,) = outcome.report.attacks
    assert result.absent is None
    assert set(result.attacked.items) == {item.id for item in outcome.report.forget.items}
    assert set(result.control.items) < {item.id for item in pairs(7, "h")}
    assert result.control.n == result.attacked.n
    assert any("too few of their answers were taught" in told for told in outcome.report.does_not_establish)
    assert "Other texts, which this model never saw" in outcome.report_html


def steps_by_stage(monitor):
    """The steps announced in each stage that counts them."""
    return {entered.stage: (entered.total_steps, steps) for entered, steps in monitor.by_stage if entered.total_steps}


def test_measuring_and_attacking_tell_how_far_they_are(make_task, base_path):
    task = make_task(holdout=pairs(7, "h"), max_steps=2)
    reference = ReferenceModel(source=str(base_path), revision=None, weights_sha256=task.spec.weights_sha256)
    task = replace(task, base_model=task.base_model.model_copy(update={"reference": reference}))
    monitor = FakeJobMonitor()

    run(under(task, "strict-1"), monitor, FakeArtifactStore(), FakeItemStore(), clock)

    told = steps_by_stage(monitor)
    assert {stage: total for stage, (total, _) in told.items()} == {
        Stage.BASELINE: 10,  # three sets, truth ratios and exposure, of two models
        Stage.TRAIN: 2,
        Stage.EVALUATE: 5,
        Stage.ATTACK: 4,
    }
    assert all(steps == list(range(1, total + 1)) for total, steps in told.values())


def test_reference_model_that_has_changed_fails_the_job(make_task, base_path):
    task = make_task()
    reference = ReferenceModel(source=str(base_path), revision=None, weights_sha256="0" * 64)
    task = replace(task, base_model=task.base_model.model_copy(update={"reference": reference}))

    with pytest.raises(BaseModelChangedError):
        run(task, FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), clock)


def test_request_whose_texts_nobody_knows_ends_without_training(make_task):
    monitor = FakeJobMonitor()

    outcome = run(
        under(make_task(holdout=pairs(20, "h")), "fast-1"), monitor, FakeArtifactStore(), FakeItemStore(), clock
    )

    assert outcome.report.verdict is Verdict.NO_ACTION_NEEDED
    assert outcome.adapter_zip is None
    assert [entered.stage for entered in monitor.entered] == [Stage.PREPARE, Stage.BASELINE]
    assert {item.disposition for item in outcome.dispositions} == {Disposition.NO_ACTION_NEEDED}
    assert outcome.report.training is None
    assert "No action needed" in outcome.report_html
