"""From a registration over a real run to the estimate of its twin, on a database that every part reads anew."""

import sys
from datetime import timedelta

import pytest

from api.tokens import TokenCounter
from cli.composition import open_backends as open_admin
from cli.registration import Registration, register
from core.domain.catalog import LokuOptions
from core.domain.errors import DoesNotFitError
from core.domain.job import Stage
from core.jobs.attempt import Attempts
from core.jobs.estimate import EstimateJob
from core.jobs.intake import Limits
from core.jobs.submission import CheckSubmission, Submission
from core.jobs.submit import Submit
from tests.fakes.examples import TENANT, an_item
from tests.fakes.job_queue import FakeJobQueue
from tests.fakes.tiny_models import byte_tokenizer, tiny_model
from worker.composition import admission_of, open_backends, utc_now
from worker.execution import Execution
from worker.recipe import TorchRecipe
from worker.settings import WorkerSettings

LIMITS = Limits(max_forget_items=10, max_retain_items=10, max_item_characters=1000)
ASKED = Submission(
    tenant=TENANT,
    base_model="tiny",
    forget=tuple(an_item(number) for number in range(3)),
    retain=None,
    method=LokuOptions(r=4, batch_size=4, max_steps=3),
    external_id=None,
    metadata={},
    policy="fast",
)


@pytest.fixture
def settings(tmp_path):
    admin = open_admin(tmp_path / "data")
    tiny_model("gpt_neo").save_pretrained(tmp_path / "model")
    byte_tokenizer().save_pretrained(tmp_path / "model")
    kept = [an_item(number) for number in range(100, 124)]
    register(Registration("tiny", str(tmp_path / "model"), None, kept, ()), admin, now=utc_now())
    return WorkerSettings(
        database_url=f"sqlite:///{tmp_path}/data/lethe.db",
        broker_url="redis://broker",
        store_url=f"file://{tmp_path}/data/artifacts",
        device="cpu",
        torch_threads=1,
        work_dir=tmp_path / "work",
    )


@pytest.fixture
def backends(settings):
    return open_backends(settings)


@pytest.fixture
def check(backends):
    count_tokens = TokenCounter(backends.store)
    return CheckSubmission(backends.base_models, backends.items, LIMITS, count_tokens, admission_of(backends))


@pytest.fixture
def estimate(backends, check):
    return EstimateJob(check, admission_of(backends), backends.jobs, utc_now)


@pytest.fixture
def run_once(settings, backends, check):
    """Submits a job and lets a runner's recipe run it, as worker and runner do."""

    def run():
        queue = FakeJobQueue()
        _, job = Submit(check, backends.jobs, backends.items, queue, utc_now, b"a secret")(ASKED)
        attempts = Attempts(backends.jobs, queue, utc_now, timedelta(minutes=9), max_attempts=1)
        claimed = attempts.claim(job.id, owner="host/1")
        assert Execution(attempts, backends.store, TorchRecipe(backends, settings))(job.id, claimed.fence) == 0
        return backends.jobs.job(job.id)

    return run


def test_a_job_that_ran_tells_what_its_twin_would_take(estimate, backends, run_once):
    before = estimate(ASKED)
    ran = run_once()

    found = estimate(ASKED)

    assert before.duration_seconds is None
    (measured,) = backends.measurements.newest()
    assert measured.workload == ran.workload
    assert measured.seconds.keys() == {*Stage}
    claimed_for = (ran.finished_at - ran.started_at).total_seconds()
    assert 0 < measured.start_seconds + sum(measured.seconds.values()) <= claimed_for
    again = measured.seconds | {"fisher": 0.0}  # the statistics of the registered retain set are there now
    assert found.duration_seconds.likely == pytest.approx(sum(again.values()))
    assert found.stages["train"] == pytest.approx(measured.seconds["train"], abs=0.001)
    assert (found.steps, found.queue_wait_seconds) == (3, 0.0)
    assert found.based_on.same_method_and_policy
    assert found.based_on.device == measured.device.name
    assert found.device_memory_bytes == measured.device.memory_bytes
    assert found.absent.keys() <= {"duration_seconds.high", "peak_memory_bytes.high", "peak_memory_bytes.likely"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak")
def test_the_peak_of_a_job_holds_its_weights(estimate, backends, run_once):
    run_once()

    (measured,) = backends.measurements.newest()
    assert measured.peak_memory_bytes > 4 * measured.workload.num_parameters
    assert estimate(ASKED).peak_memory_bytes.likely == measured.peak_memory_bytes


def test_a_runner_fails_a_job_that_its_device_has_no_room_for(settings, backends, check):
    queue, small = FakeJobQueue(), settings.model_copy(update={"device_memory_bytes": 1000})
    _, job = Submit(check, backends.jobs, backends.items, queue, utc_now, b"a secret")(ASKED)
    attempts = Attempts(backends.jobs, queue, utc_now, timedelta(minutes=9), max_attempts=1)
    claimed = attempts.claim(job.id, owner="host/1")

    Execution(attempts, backends.store, TorchRecipe(backends, small))(job.id, claimed.fence)

    failed = backends.jobs.job(job.id)
    assert failed.error.code == "insufficient_memory"
    with pytest.raises(DoesNotFitError):  # by now the worker has told what it has
        check(ASKED)
