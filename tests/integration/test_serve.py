import os
import signal

import psutil
import pytest

from tests.integration.served import start_serving
from tests.integration.stack import are_gone, wait_until


@pytest.fixture
def serve(tmp_path):
    started = []

    def start(port=None):
        started.append(start_serving(tmp_path / "data", port=port))
        return started[-1]

    yield start
    for served in started:
        served.process.kill()
        served.process.wait()


@pytest.fixture
def served(serve):
    return serve()


def test_interrupt_stops_every_process(served):
    served.wait_until_ready()
    pids = served.processes()

    exit_code = served.interrupt()

    assert exit_code == 0
    assert len(pids) == 8  # four parts, each with its guard
    wait_until(lambda: are_gone(pids))


def test_interrupt_during_the_start_stops_every_process(served):
    wait_until(lambda: served.part("worker.main") is not None)
    pids = served.processes()

    exit_code = served.interrupt()

    assert exit_code == 0
    wait_until(lambda: are_gone(pids))


def test_killed_part_is_started_again(served):
    served.wait_until_ready()
    before = {word: served.part(word) for word in ("valkey", "worker.main", "worker.sweeper", "uvicorn")}

    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    wait_until(lambda: all(served.part(word) not in {None, pid} for word, pid in before.items()))
    served.wait_until_ready()
    served.interrupt()


def test_killed_guard_takes_its_part_along(served):
    served.wait_until_ready()
    worker = served.part("worker.main")
    guard = psutil.Process(worker).ppid()

    os.kill(guard, signal.SIGKILL)

    wait_until(lambda: served.part("worker.main") not in {None, worker})
    wait_until(lambda: are_gone([worker]))
    served.interrupt()


def test_killed_stack_leaves_no_process_and_can_start_again(serve):
    killed = serve()
    killed.wait_until_ready()
    pids = killed.processes()
    killed.process.kill()
    killed.process.wait()

    again = serve(killed.port)

    wait_until(lambda: are_gone(pids))  # first, for until then it is the old API that may answer
    again.wait_until_ready()
    again.interrupt()


def test_second_stack_in_the_same_directory_is_refused(serve):
    served = serve()
    served.wait_until_ready()

    second = serve()

    assert second.process.wait(60) == 1
    assert served.is_ready
    assert "another `lethe serve`" in (served.data_dir.parent / "serve.log").read_text()
    served.interrupt()
