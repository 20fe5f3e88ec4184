"""What a runner makes of one job after another, on a model of a few thousand weights."""

import zipfile

import pytest
import torch
from structlog.testing import capture_logs

from core.domain.catalog import LokuOptions, OfmuOptions
from core.domain.errors import UnsupportedBaseModelError
from core.domain.spec import JobSpec
from core.modeling.base_model import weights_digest
from tests.fakes.base_model_repository import FakeBaseModelRepository
from tests.fakes.examples import a_base_model, a_job, a_probe, an_item_set
from tests.fakes.item_store import FakeItemStore
from tests.fakes.job_monitor import FakeJobMonitor
from tests.fakes.measurement_repository import FakeMeasurementRepository
from tests.fakes.tiny_models import byte_tokenizer, tiny_model
from tests.fakes.worker_repository import FakeWorkerRepository
from worker.composition import Backends
from worker.recipe import TorchRecipe
from worker.settings import WorkerSettings


@pytest.fixture(scope="module")
def base_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("base")
    tiny_model("gpt_neo").save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


@pytest.fixture
def recipe(base_path, jobs, store, queue, tmp_path):
    base_models, items = FakeBaseModelRepository(), FakeItemStore()
    facts = {"source": str(base_path), "weights_sha256": weights_digest(base_path)}
    base_models.add(a_base_model().model_copy(update=facts))
    items.put(an_item_set("set_forget", num_items=3))
    items.put(an_item_set("set_retain", num_items=24))
    items.put(an_item_set("set_probed"))
    settings = WorkerSettings(
        database_url="sqlite:////lethe.db",
        broker_url="redis://broker",
        store_url="file:///artifacts",
        device="cpu",
        torch_threads=1,
        work_dir=tmp_path / "work",
    )
    measurements, workers = FakeMeasurementRepository(), FakeWorkerRepository()
    return TorchRecipe(Backends(None, jobs, base_models, items, store, queue, measurements, workers), settings)


@pytest.fixture
def make_job(base_path):
    def make():
        spec = JobSpec(
            base_model=a_base_model().id,
            weights_sha256=weights_digest(base_path),
            method=LokuOptions(r=4, batch_size=4, max_steps=3),
            policy="standard-1",
            forget_set_id="set_forget",
            retain_set_id=None,
            holdout_set_id=None,
            registered_retain_set_id="set_retain",
        )
        return a_job().model_copy(update={"spec": spec})

    return make


def weights(outcome):
    with zipfile.ZipFile(outcome.adapter_zip) as archive:
        return archive.read("adapter_model.safetensors")


def test_jobs_and_probes_follow_each_other_on_one_model(recipe, make_job):
    first = recipe(make_job(), FakeJobMonitor())
    assert recipe.is_fit_for_another()
    probe = a_probe()
    facts = {"weights_sha256": make_job().spec.weights_sha256, "policy": "standard-1"}
    recipe(probe.model_copy(update={"spec": probe.spec.model_copy(update=facts)}), FakeJobMonitor())
    assert recipe.is_fit_for_another()
    loaded = recipe._base_model._kept.model

    second = recipe(make_job(), FakeJobMonitor())

    assert recipe.is_fit_for_another()
    assert weights(second) == weights(first)
    assert recipe._base_model._kept.model is loaded


def test_random_state_of_a_job_is_not_that_of_the_job_before(recipe, make_job):
    states = []

    class Looks(FakeJobMonitor):
        def enter(self, stage, *, total_steps=0):
            states.append(torch.get_rng_state())

    recipe(make_job(), Looks())
    first, states = states, []
    torch.rand(7)
    recipe(make_job(), Looks())

    assert len(first) == len(states)
    assert all(torch.equal(one, other) for one, other in zip(first, states, strict=True))


def test_method_that_differentiates_twice_is_refused_where_the_model_would_be_spread(recipe, make_job):
    job, settings = make_job(), recipe._settings.model_copy(update={"devices": 2})
    spec = job.spec.model_copy(update={"method": OfmuOptions(r=4)})

    with pytest.raises(UnsupportedBaseModelError, match="ofmu differentiates twice"):
        TorchRecipe(recipe._backends, settings)(job.model_copy(update={"spec": spec}), FakeJobMonitor())


def test_model_that_a_job_changed_is_not_fit_and_the_log_says_where(recipe, make_job):
    recipe(make_job(), FakeJobMonitor())
    recipe._base_model._kept.model.lm_head.train()

    with capture_logs() as logs:
        assert not recipe.is_fit_for_another()

    assert [line["first"] for line in logs if "changed" in line["event"]] == [["module lm_head"]]
