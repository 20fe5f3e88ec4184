import sys
import textwrap
import time

import pytest

from tests.fakes.examples import a_job, a_probe
from worker.exit_codes import RunnerExit
from worker.processes import group_is_alive
from worker.warm_runner import WarmRunner

# Says that it is ready after each order, until it is told of "job_last".
OBEYS = """
    import os, sys
    for order in sys.stdin:
        if order.startswith("job_last"):
            raise SystemExit(7)
        os.write(1, b"ready\\n")
"""


def leaves_a_child():
    return OBEYS.replace("import os, sys", "import os, subprocess, sys; subprocess.Popen(['sleep', '60'], stdout=2)")


@pytest.fixture
def runners():
    """Makes holders of runners whose processes end with the test."""
    told = []

    def make(script=OBEYS):
        warm = WarmRunner([sys.executable, "-c", textwrap.dedent(script)])
        tell = warm.told_of

        def remembered(job):
            told.append(tell(job))
            return told[-1]

        warm.told_of = remembered
        return warm

    yield make
    for runner in told:
        if not runner.orders.closed:
            runner.end(grace_seconds=0)


def serve(warm, job):
    """Let a runner serve the job and be kept, and return its process id."""
    runner = warm.told_of(job)
    assert runner.has_news(within_seconds=20)
    assert runner.is_ready()
    warm.keep(runner, job)
    return runner.leader.pid


def test_next_job_of_the_same_tenant_and_base_model_gets_the_same_process(runners):
    warm = runners()

    assert serve(warm, a_job()) == serve(warm, a_job()) == serve(warm, a_probe())


@pytest.mark.parametrize(
    "other",
    [
        a_job(tenant="another"),
        a_job(base_model="another"),
        a_job().model_copy(update={"spec": a_job().spec.model_copy(update={"weights_sha256": "cd" * 32})}),
    ],
    ids=["tenant", "base model", "weights"],
)
def test_another_tenant_or_base_model_gets_another_process_and_the_first_ends(runners, other):
    warm = runners()
    first = serve(warm, a_job())

    second = serve(warm, other)

    assert first != second
    assert not group_is_alive(first)


def test_runner_that_was_not_handed_back_is_not_used_again(runners):
    warm = runners()
    runner = warm.told_of(a_job())
    assert runner.has_news(within_seconds=20)

    assert serve(warm, a_job()) != runner.leader.pid


def test_kept_runner_that_has_died_is_replaced(runners):
    warm = runners()
    job = a_job()
    first = warm.told_of(job)
    assert first.has_news(within_seconds=20)
    assert first.is_ready()
    warm.keep(first, job)
    first.leader.kill()
    first.leader.wait()

    assert serve(warm, a_job()) != first.leader.pid


def test_runner_that_left_a_process_behind_ends_with_it(runners):
    warm = runners(leaves_a_child())

    first = serve(warm, a_job())

    assert not group_is_alive(first)
    assert serve(warm, a_job()) != first


def test_end_of_a_kept_runner_is_heard_at_once_and_its_exit_code_told(runners):
    warm = runners()
    serve(warm, a_job())

    runner = warm.told_of(a_job("job_last"))

    started = time.monotonic()
    assert runner.has_news(within_seconds=20)
    assert not runner.is_ready()
    assert runner.exit_code() == 7
    assert time.monotonic() - started < 10


def test_order_to_a_runner_that_has_just_ended_is_answered_by_its_exit_code(runners):
    warm = runners(f"raise SystemExit({RunnerExit.IDLE})")

    runner = warm.told_of(a_job())

    assert runner.has_news(within_seconds=20)
    assert runner.exit_code() == RunnerExit.IDLE
