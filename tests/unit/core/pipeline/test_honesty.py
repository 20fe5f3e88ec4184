"""What must never pass, under any policy: a run that changed nothing, and a model that was destroyed."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from core.data.collate import collate
from core.data.corpus import ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.catalog import METHOD_OPTIONS
from core.domain.errors import DivergedError, PackageMismatchError
from core.domain.policy import POLICIES
from core.domain.report import Verdict
from core.domain.request import Disposition
from core.modeling.base_model import weights_digest
from core.modeling.scoring import score
from core.pipeline.run import run
from tests.fakes.artifact_store import FakeArtifactStore
from tests.fakes.item_store import FakeItemStore
from tests.fakes.job_monitor import FakeJobMonitor
from tests.fakes.tiny_models import byte_tokenizer, tiny_model
from tests.unit.core.pipeline.conftest import NOW, pairs

FORGET, RETAIN, HOLDOUT = pairs(4, "f"), pairs(24, "r"), pairs(20, "h")


@pytest.fixture(scope="module")
def knowing(tmp_path_factory):
    """A base model that knows the forget and the retain set by heart."""
    path = tmp_path_factory.mktemp("knowing")
    model = tiny_model("gpt_neo").requires_grad_(True)
    examples = ItemEncoder(byte_tokenizer(), TextFormat(), 256)([*FORGET, *RETAIN])
    batch = collate(examples, pad_id=256)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(400):
        scores = score(model, batch)
        loss = functional.cross_entropy(scores.logits, scores.target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if float(loss.detach()) < 0.01:
            break
    model.save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


@pytest.fixture
def ran(make_task, knowing, monkeypatch):
    """Runs a method under a policy on the model that knows the texts, without the attacks that decide nothing."""

    def go(policy, method, *, retain=RETAIN, **options):
        deciding = tuple(attack for attack in POLICIES[policy].attacks if attack.at_most)
        monkeypatch.setitem(POLICIES, policy, POLICIES[policy].model_copy(update={"attacks": deciding}))
        task = make_task(forget=FORGET, retain=retain, holdout=HOLDOUT)
        chosen = METHOD_OPTIONS[method].model_validate({"r": 4, "batch_size": 4, **options})
        digest = weights_digest(knowing)
        task = replace(
            task,
            base_model=task.base_model.model_copy(update={"source": str(knowing), "weights_sha256": digest}),
            spec=task.spec.model_copy(update={"policy": policy, "method": chosen, "weights_sha256": digest}),
        )
        return run(task, FakeJobMonitor(), FakeArtifactStore(), FakeItemStore(), lambda: NOW)

    return go


@pytest.mark.parametrize("policy", POLICIES)
def test_run_that_changes_next_to_nothing_never_passes(ran, policy):
    outcome = ran(policy, "loku", learning_rate=1e-6, max_steps=3)

    assert outcome.report.verdict is Verdict.NOT_FORGOTTEN
    assert outcome.report.forget.metrics["extraction_strength"].before > 0.9  # there was something to forget
    assert {item.disposition for item in outcome.dispositions} == {Disposition.NOT_FORGOTTEN}


def test_run_that_changes_nothing_at_all_delivers_nothing(ran):
    with pytest.raises(PackageMismatchError, match="no effect"):
        ran("standard-2", "loku", learning_rate=1e-30, max_steps=3)


@pytest.mark.parametrize("policy", POLICIES)
def test_destroyed_model_never_passes(ran, policy):
    with pytest.raises(DivergedError):
        ran(policy, "gradient_ascent", learning_rate=0.5, max_steps=6)


@pytest.mark.parametrize("policy", POLICIES)
def test_model_that_lost_what_it_was_to_keep_never_passes(ran, policy):
    outcome = ran(policy, "random_labels", learning_rate=0.003, max_steps=12, early_stopping=False)

    kept = outcome.report.retain.metrics["memorization_accuracy"]
    assert kept.after < 0.9 * kept.before
    assert outcome.report.verdict is Verdict.DAMAGED


def test_model_that_kept_nothing_but_the_few_rows_it_was_trained_on_never_passes(ran):
    outcome = ran("fast-1", "gd_fila", retain=RETAIN[:8], learning_rate=0.01, max_steps=60)

    kept = outcome.report.retain.metrics["memorization_accuracy"]
    assert kept.after > 0.95 * kept.before
    assert outcome.report.verdict is Verdict.DAMAGED
    assert [reason.partition(" is ")[0] for reason in outcome.report.verdict_reasons] == [
        "perplexity of the holdout set"
    ]
    assert any("beside the retain set" in line for line in outcome.report.does_not_establish)
    assert "other texts were held to a coarser limit alone" in outcome.report_html
