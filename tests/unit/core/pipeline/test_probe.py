import io
import zipfile
from collections import Counter
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model

from core.data.collate import collate
from core.data.corpus import ItemEncoder
from core.domain.base_model import RegisteredBaseModel, TextFormat
from core.domain.errors import BaseModelChangedError, LeaseLostError, OutOfMemoryError
from core.domain.items import PairItem, TextItem
from core.domain.job import Stage
from core.domain.policy import POLICIES
from core.domain.spec import ProbeSpec
from core.evaluation.item_limits import over_by_chance
from core.modeling.base_model import weights_digest
from core.modeling.scoring import score
from core.pipeline.probe import ProbeTask, probe
from tests.fakes.job_monitor import FakeJobMonitor
from tests.fakes.tiny_models import byte_tokenizer, tiny_model
from tests.unit.core.pipeline.conftest import NOW, item_set

KNOWN = PairItem(id="known", prompt="Where does Ada live?", completion=" In Exampleton.")
UNSEEN = PairItem(id="unseen", prompt="Where does Bob live?", completion=" By the river 7.")
HOLDOUT = [
    PairItem(id=f"h-{place}", prompt=f"Who is {place}?", completion=f" Guest {place * 37 % 101} of {place + 3}.")
    for place in range(12)
]
FIELDS = ["extraction_strength", "exact_memorization", "memorization_accuracy", "answer_probability"]


def clock():
    return NOW


def taught(model, steps, *, sign=1.0, learning_rate=3e-3):
    """Return the model after some steps towards the known item, or away from it."""
    examples = ItemEncoder(byte_tokenizer(), TextFormat(), 256)([KNOWN])
    batch = collate(examples, pad_id=256)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=learning_rate)
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    for _ in range(steps):
        scores = score(inner, batch)
        loss = sign * torch.nn.functional.cross_entropy(scores.logits, scores.target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A base model that knows one item by heart."""
    path = tmp_path_factory.mktemp("learned")
    model = tiny_model("gpt_neo").requires_grad_(True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        taught(model, 120).save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def forgets(learned, tmp_path_factory):
    """The zip of an adapter that makes it forget, as plain PEFT writes one."""
    path = tmp_path_factory.mktemp("adapter")
    base = type(tiny_model("gpt_neo")).from_pretrained(learned)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=["c_fc", "c_proj", "q_proj"])
        taught(get_peft_model(base, config), 60, sign=-1.0, learning_rate=1e-2).save_pretrained(path)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            files.write(path / name, name)
    return archive.getvalue()


@pytest.fixture
def make_task(learned, tmp_path):
    def make(items, *, holdout=None, adapter_zip=None):
        digest = weights_digest(learned)
        registered = RegisteredBaseModel(
            id="tiny",
            source=str(learned),
            revision=None,
            weights_sha256=digest,
            architecture="GPTNeoForCausalLM",
            num_parameters=1,
            max_tokens=256,
            text_format=TextFormat(),
            tokenizer_key="tokenizers/tiny",
            retain_set_id=None,
            holdout_set_id="set_holdout" if holdout else None,
            num_retain_items=0,
            num_holdout_items=len(holdout or []),
            created_at=NOW,
        )
        spec = ProbeSpec(
            base_model="tiny",
            weights_sha256=digest,
            policy="standard-1",
            item_set_id="set_probed",
            num_items=len(items),
            holdout_set_id=registered.holdout_set_id,
            job_id="job_1" if adapter_zip else None,
        )
        return ProbeTask(
            probe_id="prb_1",
            spec=spec,
            base_model=registered,
            items=item_set(items, "probed"),
            holdout=item_set(holdout, "holdout") if holdout else None,
            adapter_zip=adapter_zip,
            device="cpu",
            work_dir=tmp_path,
        )

    return make


def memorised(result):
    return {item.id: item.memorised for item in result.items}


@pytest.mark.parametrize("holdout", [HOLDOUT, None], ids=["holdout", "policy"])
def test_text_known_by_heart_is_memorised_and_unseen_text_is_not(make_task, holdout):
    result = probe(make_task([KNOWN, UNSEEN], holdout=holdout), FakeJobMonitor(), clock)

    assert memorised(result) == {"known": True, "unseen": False}
    assert (result.totals.memorised, result.totals.not_memorised, result.totals.undecided) == (1, 1, 0)
    assert all(list(item.metrics) == FIELDS for item in result.items)


def test_text_is_not_memorised_any_more_with_an_adapter_that_forgets_it(make_task, forgets):
    result = probe(make_task([KNOWN, UNSEEN], holdout=HOLDOUT, adapter_zip=forgets), FakeJobMonitor(), clock)

    assert memorised(result) == {"known": False, "unseen": False}
    assert result.job_id == "job_1"
    assert result.adapter_sha256 is not None


def test_limits_are_those_of_the_base_model_with_an_adapter_too(make_task, forgets):
    without = probe(make_task([KNOWN], holdout=HOLDOUT), FakeJobMonitor(), clock)
    with_adapter = probe(make_task([KNOWN], holdout=HOLDOUT, adapter_zip=forgets), FakeJobMonitor(), clock)

    assert with_adapter.thresholds == without.thresholds


def test_limits_come_from_the_holdout_set_and_say_so(make_task):
    result = probe(make_task([KNOWN, HOLDOUT[0]], holdout=HOLDOUT), FakeJobMonitor(), clock)

    thresholds = result.thresholds
    assert (thresholds.num_holdout_items, thresholds.excluded_holdout_items) == (11, 1)
    sources = Counter(limit.source for limit in thresholds.limits)
    assert thresholds.source == "holdout"
    assert sources["holdout"] >= 1
    assert set(thresholds.holdout_refused) == {limit.metric for limit in thresholds.limits if limit.source == "policy"}
    assert bool(result.caveats) is bool(sources["policy"])
    share = thresholds.chance_over
    assert share is not None
    assert result.totals.by_chance == over_by_chance(2, share=share)


def test_limits_are_those_of_the_policy_that_was_asked_for(make_task):
    task = make_task([KNOWN], holdout=HOLDOUT)
    task = replace(task, spec=task.spec.model_copy(update={"policy": "strict-1"}))

    result = probe(task, FakeJobMonitor(), clock)

    assert result.thresholds.policy == "strict-1"
    assert [limit.metric for limit in result.thresholds.limits] == [gate.metric for gate in POLICIES["strict-1"].forget]
    assert result.items[0].metrics["verbatim_completion"] == 1.0


def test_without_a_holdout_set_the_result_says_what_it_cannot_tell(make_task):
    result = probe(make_task([KNOWN]), FakeJobMonitor(), clock)

    assert result.thresholds.source == "policy"
    assert [(limit.metric, limit.at_most) for limit in result.thresholds.limits][:1] == [("extraction_strength", 0.3)]
    assert "guesses itself" in result.caveats[0]
    assert result.totals.by_chance is None


def test_stages_are_announced_and_timed(make_task):
    monitor = FakeJobMonitor()

    result = probe(make_task([KNOWN]), monitor, clock)

    stages = [entered.stage for entered in monitor.entered]
    assert stages == [Stage.PREPARE, Stage.BASELINE, Stage.EVALUATE]
    assert set(result.timings_seconds) == {stage.value for stage in stages}


def test_no_text_and_no_path_is_in_the_result(make_task, learned):
    items = [KNOWN, UNSEEN, TextItem(id="text", text="Ada has a quiet house.")]

    told = probe(make_task(items, holdout=HOLDOUT), FakeJobMonitor(), clock).model_dump_json()

    for words in ("Ada", "Exampleton", "river", "quiet house", "Guest", str(learned)):
        assert words not in told


def test_weights_that_changed_since_registration_fail_the_probe(make_task):
    task = make_task([KNOWN])
    changed = replace(task, spec=task.spec.model_copy(update={"weights_sha256": "0" * 64}))

    with pytest.raises(BaseModelChangedError):
        probe(changed, FakeJobMonitor(), clock)


def test_full_device_fails_the_probe_with_the_remedy(make_task):
    class FullDevice(FakeJobMonitor):
        def enter(self, stage, *, total_steps=0):
            raise torch.OutOfMemoryError

    with pytest.raises(OutOfMemoryError, match="split"):
        probe(make_task([KNOWN]), FullDevice(), clock)


def test_lost_lease_ends_the_probe(make_task):
    monitor = FakeJobMonitor()
    monitor.lease_lost = True

    with pytest.raises(LeaseLostError):
        probe(make_task([KNOWN]), monitor, clock)
