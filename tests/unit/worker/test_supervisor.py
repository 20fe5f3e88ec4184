import sys
import textwrap
import threading
import time

import pytest

from core.domain.states import JobState
from core.jobs.cancel import Cancel
from core.jobs.destroy_probed import DestroyProbed
from tests.fakes.examples import a_package, a_probe, an_item_set
from tests.fakes.item_store import FakeItemStore
from worker import processes
from worker.checkpoints import checkpoint_key
from worker.exit_codes import RunnerExit
from worker.processes import group_is_alive
from worker.supervisor import Supervisor
from worker.warm_runner import WarmRunner


@pytest.fixture
def items():
    return FakeItemStore()


@pytest.fixture
def supervise(attempts, store, items, clock, tmp_path):
    """Return a supervisor whose runner is a small script of the test's own, in a real process."""

    def make(script, **changes):
        (tmp_path / "work").mkdir(exist_ok=True)
        options = {
            "attempts": attempts,
            "store": store,
            "destroy_probed": DestroyProbed(attempts.jobs, items, clock),
            "runners": WarmRunner([sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]),
            "owner": "this worker",
            "work_dir": tmp_path / "work",
            "heartbeat_seconds": 0.05,
            "cancel_grace_seconds": 0.5,
            "on_unfit": lambda: None,
            "poll_seconds": 0.02,
        }
        return Supervisor(**{**options, **changes})

    return make


# Says its process group to the test, then waits for its end.
WAIT = """
    import os, pathlib, signal, sys, time
    if {deaf}:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pathlib.Path(sys.argv[1], "group").write_text(str(os.getpid()))
    time.sleep(60)
"""


def wait_for_group(tmp_path):
    note = tmp_path / "group"
    deadline = time.monotonic() + 20
    while not (note.exists() and note.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(note.read_text())


def run_in_thread(supervisor, job):
    thread = threading.Thread(target=supervisor, args=[job.id])
    thread.start()
    return thread


def test_runner_is_told_the_job_and_the_fence(supervise, queued, jobs, tmp_path):
    supervise("import pathlib, sys; pathlib.Path(sys.argv[1], 'told').write_text(sys.stdin.readline())")(queued.id)

    assert (tmp_path / "told").read_text() == f"{queued.id} 1\n"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("raise SystemExit(7)", "exit code 7"),
        (f"raise SystemExit({RunnerExit.UNEXPECTED})", "unexpected error"),
        ("pass", "without recording a result"),
    ],
)
def test_runner_without_result_goes_back_to_the_queue(supervise, queued, jobs, queue, script, reason):
    supervise(script)(queued.id)

    present = jobs.job(queued.id)
    assert (present.state, present.attempts) == (JobState.QUEUED, 1)
    assert reason in jobs.events(queued.id)[-1].message
    assert queue.published == [queued.id]


def test_unfit_worker_hands_back_without_costing_an_attempt_and_takes_no_more(supervise, queued, jobs):
    told = []
    supervisor = supervise(f"raise SystemExit({RunnerExit.UNFIT})", on_unfit=lambda: told.append(True))

    supervisor(queued.id)
    supervisor(queued.id)

    present = jobs.job(queued.id)
    assert (present.state, present.attempts) == (JobState.QUEUED, 0)
    assert told == [True]


def test_runner_that_ended_just_before_it_was_told_costs_no_attempt(supervise, queued, jobs, queue):
    supervise(f"raise SystemExit({RunnerExit.IDLE})")(queued.id)

    present = jobs.job(queued.id)
    assert (present.state, present.attempts) == (JobState.QUEUED, 0)
    assert queue.published == [queued.id]


def test_runner_that_says_what_nobody_asked_for_is_killed(supervise, queued, jobs, monkeypatch):
    monkeypatch.setattr(processes, "_LAST_SECONDS", 0.1)

    supervise("import time; print('finished', flush=True); time.sleep(60)")(queued.id)

    assert "SIGKILL" in jobs.events(queued.id)[-1].message


def test_runner_that_says_it_is_ready_without_a_result_hands_the_job_back(supervise, queued, jobs):
    supervisor = supervise("import os, sys; os.write(1, b'ready\\n'); sys.stdin.read()")

    supervisor(queued.id)

    supervisor.runners._kept[1].end(grace_seconds=0)
    assert "without recording a result" in jobs.events(queued.id)[-1].message


def test_runner_that_recorded_a_success_has_time_to_clear_up_though_its_lease_is_gone(
    supervise, queued, jobs, attempts, tmp_path
):
    supervisor = supervise("""
        import os, pathlib, sys, time
        pathlib.Path(sys.argv[1], "group").write_text(str(os.getpid()))
        while not pathlib.Path(sys.argv[1], "recorded").exists():
            time.sleep(0.01)
        time.sleep(0.5)
        os.write(1, b"ready\\n")
        sys.stdin.read()
    """)
    thread = run_in_thread(supervisor, queued)
    group = wait_for_group(tmp_path)
    attempts.succeed(jobs.job(queued.id), a_package(), ())
    (tmp_path / "recorded").touch()

    thread.join(20)

    _, kept = supervisor.runners._kept
    assert kept.leader.pid == group
    assert kept.is_running
    kept.end(grace_seconds=0)


def test_runner_that_cannot_be_started_costs_an_attempt(supervise, queued, jobs):
    supervise("", runners=WarmRunner(["/there/is/no/such/program"]))(queued.id)

    assert jobs.job(queued.id).attempts == 1


def test_last_attempt_without_result_fails_the_job_and_removes_its_checkpoint(supervise, queued, jobs, store):
    store.put(checkpoint_key(queued.id), b"trained on the forget set")
    supervisor = supervise("raise SystemExit(7)")

    for _ in range(3):
        supervisor(queued.id)

    assert jobs.job(queued.id).error.code == "attempts_exhausted"
    assert not store.exists(checkpoint_key(queued.id))


def test_texts_of_a_probe_stay_for_its_next_attempt_and_go_with_its_end(supervise, jobs, items):
    probe = a_probe(item_set_id="set_probed")
    jobs.add_probe(probe, [])
    items.put(an_item_set("set_probed", owner=probe.id))
    supervisor = supervise("raise SystemExit(7)")

    for _ in range(3):
        assert "set_probed" in items.sets
        supervisor(probe.id)

    assert jobs.job(probe.id).state is JobState.FAILED
    assert items.sets == {}


def test_claim_removes_what_a_killed_worker_left_of_older_attempts(supervise, attempts, queued, tmp_path):
    supervisor = supervise("pass")
    left = tmp_path / "work" / f"{queued.id}-1"
    others = tmp_path / "work" / "job_of_another-1"
    for directory in (left, others):
        (directory / "package").mkdir(parents=True)
    attempts.lost(attempts.claim(queued.id, owner="a worker that was killed"), reason="it was killed")

    supervisor(queued.id)

    assert not left.exists()
    assert others.exists()


def test_repeated_message_starts_nothing(supervise, claimed, jobs, tmp_path):
    supervise("import pathlib, sys; pathlib.Path(sys.argv[1], 'ran').touch()")(claimed.id)

    assert not (tmp_path / "ran").exists()
    assert jobs.job(claimed.id).lease == claimed.lease


@pytest.mark.parametrize("deaf", [False, True])
def test_cancelled_job_ends_with_nothing_left_of_its_group(supervise, queued, jobs, clock, tmp_path, deaf):
    thread = run_in_thread(supervise(WAIT.format(deaf=deaf)), queued)
    group = wait_for_group(tmp_path)

    Cancel(jobs, clock)(queued.id, tenant=queued.tenant)

    thread.join(20)
    assert jobs.job(queued.id).state is JobState.CANCELLED
    assert not group_is_alive(group)


def test_shut_down_worker_hands_back_without_costing_an_attempt(supervise, queued, jobs, tmp_path):
    supervisor = supervise(WAIT.format(deaf=False))
    thread = run_in_thread(supervisor, queued)
    group = wait_for_group(tmp_path)

    supervisor.stopping.set()

    thread.join(20)
    present = jobs.job(queued.id)
    assert (present.state, present.attempts) == (JobState.QUEUED, 0)
    assert not group_is_alive(group)


def test_lost_lease_kills_the_runner_and_leaves_the_job_to_its_new_owner(supervise, queued, jobs, attempts, tmp_path):
    thread = run_in_thread(supervise(WAIT.format(deaf=True)), queued)
    group = wait_for_group(tmp_path)
    attempts.lost(jobs.job(queued.id), reason="swept")
    successor = attempts.claim(queued.id, owner="another worker")

    thread.join(20)

    assert not group_is_alive(group)
    assert jobs.job(queued.id).lease == successor.lease


def test_stopping_worker_claims_nothing(supervise, queued, jobs):
    supervisor = supervise("pass")
    supervisor.stopping.set()

    supervisor(queued.id)

    assert jobs.job(queued.id).attempts == 0


def test_scratch_of_a_killed_runner_is_removed(supervise, queued, tmp_path):
    script = """
        import os, pathlib, signal, sys
        pathlib.Path(sys.argv[1], "work", "-".join(sys.stdin.readline().split())).mkdir()
        os.kill(os.getpid(), signal.SIGKILL)
    """

    supervise(script)(queued.id)

    assert list((tmp_path / "work").iterdir()) == []
