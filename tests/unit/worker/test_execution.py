import pytest

from core.domain.errors import DivergedError, LeaseLostError, WorkerUnfitError
from core.domain.job import Stage
from core.domain.request import Disposition, ItemDisposition
from core.domain.states import JobState
from core.jobs.cancel import Cancel
from tests.fakes.examples import a_probe, an_event
from worker.checkpoints import checkpoint_key
from worker.delivery import Answer, Outcome
from worker.execution import Execution, StopRequestedError
from worker.exit_codes import RunnerExit


@pytest.fixture
def outcome(tmp_path):
    archive = tmp_path / "adapter.zip"
    archive.write_bytes(b"an adapter")
    forgotten = tuple(
        ItemDisposition(item_id=f"item-{number}", disposition=Disposition.FORGOTTEN) for number in range(2)
    )
    return Outcome(adapter_zip=archive, report_json=b"{}", report_html=b"<p>", dispositions=forgotten)


def raising(error):
    def recipe(job, monitor):
        raise error

    return recipe


def test_outcome_is_stored_and_recorded(attempts, store, claimed, jobs, outcome):
    def recipe(job, monitor):
        monitor.enter(Stage.TRAIN)
        monitor.save_checkpoint(b"half way")
        return outcome

    exit_code = Execution(attempts, store, recipe)(claimed.id, claimed.fence)

    present = jobs.job(claimed.id)
    assert (exit_code, present.state) == (RunnerExit.FINISHED, JobState.SUCCEEDED)
    assert store.get(present.package.adapter.key) == b"an adapter"
    assert jobs.requests_of(claimed.id)[0].items == outcome.dispositions
    assert not store.exists(checkpoint_key(claimed.id))


def test_result_of_a_probe_is_stored_and_recorded(attempts, store, jobs):
    probe = a_probe()
    jobs.add_probe(probe, [an_event()])
    claimed = attempts.claim(probe.id, owner="this worker")

    exit_code = Execution(attempts, store, lambda job, monitor: Answer(b"{}"))(probe.id, claimed.fence)

    present = jobs.job(probe.id)
    assert (exit_code, present.state, present.package) == (RunnerExit.FINISHED, JobState.SUCCEEDED, None)
    assert store.get(present.result.key) == b"{}"
    assert present.result.key.startswith("probes/")


def test_job_failure_is_final_with_its_public_message(attempts, store, claimed, jobs):
    execute = Execution(attempts, store, raising(DivergedError("the loss is not a number")))

    exit_code = execute(claimed.id, claimed.fence)

    error = jobs.job(claimed.id).error
    assert exit_code == RunnerExit.FAILED
    assert (error.code, error.message) == ("diverged", "the loss is not a number")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (LeaseLostError("over"), RunnerExit.LEASE_LOST),
        (WorkerUnfitError("no GPU"), RunnerExit.UNFIT),
        (StopRequestedError(), RunnerExit.STOPPED),
        (ValueError("a text"), RunnerExit.UNEXPECTED),
    ],
)
def test_other_ends_are_left_to_the_supervisor(attempts, store, claimed, jobs, error, expected):
    assert Execution(attempts, store, raising(error))(claimed.id, claimed.fence) == expected
    assert jobs.job(claimed.id).state is JobState.RUNNING


def test_old_fence_runs_nothing(attempts, store, claimed):
    execute = Execution(attempts, store, raising(AssertionError("it ran")))

    assert execute(claimed.id, claimed.fence - 1) == RunnerExit.LEASE_LOST


def test_package_of_a_cancelled_job_is_not_delivered(attempts, store, claimed, jobs, clock, outcome):
    def recipe(job, monitor):
        Cancel(jobs, clock)(job.id, tenant=job.tenant)
        return outcome

    assert Execution(attempts, store, recipe)(claimed.id, claimed.fence) == RunnerExit.LEASE_LOST
    assert jobs.job(claimed.id).package is None
