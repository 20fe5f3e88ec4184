import os
import signal

import pytest

from core.domain.errors import QueueUnavailableError
from core.domain.states import JobState
from tests.integration.scripted_runner import SENTINEL
from tests.integration.stack import are_gone, wait_until
from worker.checkpoints import checkpoint_key


def test_job_succeeds_with_its_package_stored_and_its_checkpoint_removed(stack):
    stack.start_worker()
    job = stack.submit()
    pids = stack.wait_for_run(job)
    stack.finish_runs()

    ended = stack.wait_for_state(job, JobState.SUCCEEDED)

    wait_until(lambda: are_gone(pids))
    store = stack.backends().store
    assert ended.package is not None
    assert store.get(ended.package.adapter.key) == b"an adapter"
    wait_until(lambda: not store.exists(checkpoint_key(job.id)))


def test_repeated_message_runs_the_job_once(stack):
    stack.start_worker()
    job = stack.submit()
    for _ in range(4):
        stack.backends().queue.publish(job.id)
    stack.wait_for_run(job)
    stack.finish_runs()

    stack.wait_for_state(job, JobState.SUCCEEDED)

    wait_until(lambda: stack.log.count("nothing to do") == 4)
    assert stack.num_runs(job) == 1


def test_message_that_another_worker_gets_while_the_job_runs_starts_nothing(stack):
    for _ in range(2):
        stack.start_worker()
    job = stack.submit()
    for _ in range(4):
        stack.backends().queue.publish(job.id)
    stack.wait_for_run(job)
    wait_until(lambda: "nothing to do" in stack.log)  # said by the idle worker, for the other one is at work
    stack.finish_runs()

    stack.wait_for_state(job, JobState.SUCCEEDED)

    wait_until(lambda: stack.log.count("nothing to do") == 4)
    assert stack.num_runs(job) == 1


def test_killed_runner_succeeds_on_the_second_attempt(stack):
    stack.start_worker()
    job = stack.submit()
    pids = stack.wait_for_run(job)
    os.kill(pids[0], signal.SIGKILL)
    stack.wait_for_run(job, fence=2)
    stack.finish_runs()

    ended = stack.wait_for_state(job, JobState.SUCCEEDED)

    assert ended.attempts == 2
    wait_until(lambda: are_gone(pids))
    assert stack.event_types(job).count("job.succeeded") == 1
    assert "job.resumed" in stack.event_types(job)


def test_killed_worker_leaves_no_runner_and_another_one_finishes(stack):
    stack.start_sweeper()
    worker = stack.start_worker()
    job = stack.submit()
    pids = stack.wait_for_run(job)
    worker.kill()
    wait_until(lambda: are_gone(pids))
    stack.start_worker()
    stack.wait_for_run(job, fence=2)
    stack.finish_runs()

    ended = stack.wait_for_state(job, JobState.SUCCEEDED)

    assert ended.attempts == 2


def test_killed_broker_costs_no_attempt_and_the_worker_takes_the_next_job(stack):
    stack.start_sweeper()
    broker = stack.processes[0]
    stack.start_worker()
    job = stack.submit()
    stack.wait_for_run(job)
    broker.kill()
    broker.wait()
    with pytest.raises(QueueUnavailableError):
        stack.backends().queue.depth()
    stack.start_broker()
    stack.finish_runs()
    ended = stack.wait_for_state(job, JobState.SUCCEEDED)

    following = stack.submit()

    stack.wait_for_state(following, JobState.SUCCEEDED)
    assert ended.attempts == 1
    assert stack.num_runs(job) == 1


def test_job_submitted_while_the_broker_is_away_runs_when_it_is_back(stack):
    stack.start_sweeper()
    broker = stack.processes[0]
    stack.start_worker()
    broker.kill()
    broker.wait()
    job = stack.submit()
    stack.finish_runs()

    stack.start_broker()

    stack.wait_for_state(job, JobState.SUCCEEDED)


@pytest.mark.parametrize("mode", ["plain", "deaf"])
def test_cancelled_job_leaves_no_process(stack, mode):
    stack.mode = mode
    stack.start_worker()
    job = stack.submit()
    pids = stack.wait_for_run(job)

    stack.cancel(job)

    stack.wait_for_state(job, JobState.CANCELLED)
    wait_until(lambda: are_gone(pids))
    store = stack.backends().store
    wait_until(lambda: not store.exists(checkpoint_key(job.id)))


def test_runner_that_dies_every_time_fails_the_job_when_attempts_are_used_up(stack):
    stack.start_worker()
    job = stack.submit()
    for fence in (1, 2, 3):
        os.kill(stack.wait_for_run(job, fence=fence)[0], signal.SIGKILL)

    ended = stack.wait_for_state(job, JobState.FAILED)

    assert ended.error is not None
    assert ended.error.code == "attempts_exhausted"
    assert "SIGKILL" in ended.error.message


def test_failure_that_would_repeat_is_final_at_once(stack):
    stack.mode = "diverge"
    stack.start_worker()
    job = stack.submit()

    ended = stack.wait_for_state(job, JobState.FAILED)

    assert ended.error is not None
    assert (ended.error.code, ended.attempts) == ("diverged", 1)


def test_unexpected_error_is_tried_again_and_its_text_never_leaves_the_process(stack):
    stack.mode = "bug"
    stack.start_worker()
    job = stack.submit()

    ended = stack.wait_for_state(job, JobState.FAILED)

    assert ended.error is not None
    assert ended.attempts == 3
    assert "unexpected error" in ended.error.message
    assert "ValueError" in stack.log
    assert SENTINEL not in stack.log + ended.model_dump_json()


def test_worker_that_is_shut_down_hands_its_job_back_without_costing_an_attempt(stack):
    worker = stack.start_worker()
    job = stack.submit()
    pids = stack.wait_for_run(job)

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(60) == 0
    handed_back = stack.job(job)
    assert (handed_back.state, handed_back.attempts) == (JobState.QUEUED, 0)
    wait_until(lambda: are_gone(pids))
    stack.start_worker()
    stack.wait_for_run(job, fence=2)
    stack.finish_runs()
    assert stack.wait_for_state(job, JobState.SUCCEEDED).attempts == 1
