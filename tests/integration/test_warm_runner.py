import os
import signal

import pytest

from core.domain.states import JobState
from tests.integration.stack import are_gone, wait_until


def runs_of(stack, count):
    """Let so many jobs succeed, one after the other, and return the process of each."""
    pids = []
    for _ in range(count):
        job = stack.submit()
        pids.append(stack.wait_for_run(job)[0])
        stack.finish_runs()
        stack.wait_for_state(job, JobState.SUCCEEDED)
    return pids


@pytest.fixture
def tidy(stack):
    stack.mode = "tidy"
    return stack


def test_jobs_of_one_base_model_share_a_process(tidy):
    tidy.start_worker()

    first, second, third = runs_of(tidy, 3)

    assert first == second == third


def test_runner_ends_after_its_number_of_jobs(tidy):
    tidy.settings["LETHE_RUNNER_MAX_JOBS"] = "2"
    tidy.start_worker()

    first, second, third = runs_of(tidy, 3)

    assert first == second != third
    wait_until(lambda: are_gone([first]))


def test_runner_in_which_a_job_left_something_is_not_used_again(tidy):
    tidy.mode = "touched"
    tidy.start_worker()

    first, second = runs_of(tidy, 2)

    assert first != second
    wait_until(lambda: are_gone([first]))


def test_idle_runner_ends_and_the_next_job_has_another_without_losing_an_attempt(tidy):
    tidy.settings["LETHE_RUNNER_IDLE_SECONDS"] = "0.3"
    tidy.start_worker()
    (first,) = runs_of(tidy, 1)
    wait_until(lambda: are_gone([first]))
    job = tidy.submit()

    ended = tidy.wait_for_state(job, JobState.SUCCEEDED)

    assert ended.attempts == 1
    assert tidy.wait_for_run(job)[0] != first


def test_cancelled_job_ends_the_process_that_others_shared(tidy):
    tidy.start_worker()
    (first,) = runs_of(tidy, 1)
    (tidy.directory / "finish").unlink()
    job = tidy.submit()
    assert tidy.wait_for_run(job)[0] == first

    tidy.cancel(job)

    tidy.wait_for_state(job, JobState.CANCELLED)
    assert are_gone([first])


def test_killed_worker_leaves_no_idle_runner(tidy):
    worker = tidy.start_worker()
    (runner,) = runs_of(tidy, 1)
    assert not are_gone([runner])

    worker.kill()
    worker.wait()

    wait_until(lambda: are_gone([runner]))


def test_worker_that_is_shut_down_leaves_no_idle_runner(tidy):
    worker = tidy.start_worker()
    (runner,) = runs_of(tidy, 1)

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(60) == 0
    wait_until(lambda: are_gone([runner]))


def test_killed_idle_runner_costs_the_next_job_nothing(tidy):
    tidy.start_worker()
    (first,) = runs_of(tidy, 1)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: are_gone([first]))
    job = tidy.submit()

    ended = tidy.wait_for_state(job, JobState.SUCCEEDED)

    assert ended.attempts == 1
