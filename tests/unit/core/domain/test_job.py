from collections.abc import Callable
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.domain.errors import IllegalTransitionError
from core.domain.job import Job, Lease, Progress, PublicError, Stage
from core.domain.states import TRANSITIONS, JobState
from tests.fakes.clock import START
from tests.fakes.examples import a_job, a_package

SOON = START + timedelta(minutes=1)
LEASE = Lease(owner="worker-1", fence=3, expires_at=SOON)

CHANGES: dict[JobState, Callable[[Job], Job]] = {
    JobState.QUEUED: lambda job: job.requeued(count_attempt=True),
    JobState.RUNNING: lambda job: job.claimed(owner="worker-2", now=SOON, expires_at=SOON),
    JobState.CANCELLING: lambda job: job.cancelling(),
    JobState.SUCCEEDED: lambda job: job.ended(JobState.SUCCEEDED, now=SOON, package=a_package()),
    JobState.FAILED: lambda job: job.ended(JobState.FAILED, now=SOON, error=PublicError(code="x", message="y")),
    JobState.CANCELLED: lambda job: job.ended(JobState.CANCELLED, now=SOON),
}


def a_job_in(state: JobState) -> Job:
    has_lease = state in {JobState.RUNNING, JobState.CANCELLING}
    changes = {"state": state, "version": 5, "attempts": 2, "fence": 3, "lease": LEASE if has_lease else None}
    return a_job().model_copy(update=changes)


@pytest.mark.parametrize(("before", "after"), list(product(JobState, JobState)))
def test_a_job_changes_exactly_as_the_table_says(before: JobState, after: JobState):
    job = a_job_in(before)

    if after not in TRANSITIONS[before]:
        with pytest.raises(IllegalTransitionError):
            CHANGES[after](job)
        return
    changed = CHANGES[after](job)

    assert (changed.state, changed.version, job.version) == (after, 6, 5)
    assert (changed.lease is not None) == (after in {JobState.RUNNING, JobState.CANCELLING})
    assert (changed.finished_at is not None) == after.is_terminal
    assert Job.model_validate(changed.model_dump()) == changed  # model_copy does not validate


def test_a_claim_grows_the_fence_over_every_older_one():
    claimed = a_job_in(JobState.QUEUED).claimed(owner="worker-2", now=START, expires_at=SOON)

    assert claimed.fence == 4
    assert claimed.lease == Lease(owner="worker-2", fence=4, expires_at=SOON)
    assert claimed.attempts == 3


def test_a_second_claim_keeps_the_first_start():
    first = a_job().claimed(owner="worker-1", now=START, expires_at=SOON)
    second = first.requeued(count_attempt=True).claimed(owner="worker-2", now=SOON, expires_at=SOON)

    assert second.started_at == START


def test_a_requeued_job_begins_from_nothing():
    running = a_job_in(JobState.RUNNING).model_copy(
        update={"stage": Stage.TRAIN, "progress": Progress(step=3, total_steps=4), "published_at": START}
    )

    queued = running.requeued(count_attempt=True)

    assert (queued.stage, queued.progress, queued.lease, queued.published_at) == (None, Progress(), None, None)
    assert queued.fence == running.fence


@pytest.mark.parametrize(("count_attempt", "attempts"), [(True, 2), (False, 1)])
def test_an_attempt_counts_unless_it_was_handed_back_in_order(count_attempt, attempts):
    assert a_job_in(JobState.RUNNING).requeued(count_attempt=count_attempt).attempts == attempts


def test_cancelling_keeps_the_lease_because_the_process_still_runs():
    assert a_job_in(JobState.RUNNING).cancelling().lease == LEASE


@given(total=st.integers(0, 10_000), share=st.floats(0, 1))
def test_percent_lies_between_nothing_and_all(total: int, share: float):
    percent = Progress(step=int(total * share), total_steps=total).percent

    assert 0 <= percent <= 100


def test_percent_counts_steps():
    assert Progress().percent == 0.0
    assert Progress(step=1, total_steps=3).percent == 33.3
    assert Progress(step=3, total_steps=3).percent == 100.0


@pytest.mark.parametrize("eta", [float("inf"), float("nan"), -1.0])
def test_progress_refuses_an_eta_that_is_no_duration(eta: float):
    with pytest.raises(ValidationError):
        Progress(step=0, total_steps=1, eta_seconds=eta)


@pytest.mark.parametrize("progress", [Progress(), Progress(step=3, total_steps=4, eta_seconds=2.0)])
def test_a_job_that_succeeded_is_done_and_in_no_stage(progress: Progress):
    running = a_job_in(JobState.RUNNING).model_copy(update={"stage": Stage.PACKAGE, "progress": progress})

    ended = CHANGES[JobState.SUCCEEDED](running)

    assert (ended.stage, ended.progress.percent, ended.progress.eta_seconds) == (None, 100.0, None)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_a_job_that_ended_early_keeps_how_far_it_was(state: JobState):
    before = JobState.RUNNING if state is JobState.FAILED else JobState.CANCELLING
    progress = Progress(step=3, total_steps=4)
    running = a_job_in(before).model_copy(update={"stage": Stage.TRAIN, "progress": progress})

    ended = CHANGES[state](running)

    assert (ended.stage, ended.progress) == (Stage.TRAIN, progress)
