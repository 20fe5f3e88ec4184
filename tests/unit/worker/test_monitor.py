import pytest

from core.domain.errors import LeaseLostError
from core.domain.events import EventType
from core.domain.job import Stage
from tests.fakes.artifact_store import FakeArtifactStore
from worker.checkpoints import checkpoint_key
from worker.monitor import DatabaseJobMonitor

HOUR = 3600.0


class OutageOf:
    """A repository whose ``record`` fails as a database that is away, a number of times."""

    def __init__(self, jobs, *, times):
        self.jobs = jobs
        self.times = times

    def record(self, *args, **kwargs):
        if self.times:
            self.times -= 1
            raise ConnectionError("the database is away")
        return self.jobs.record(*args, **kwargs)


class AwayOnce(FakeArtifactStore):
    """A store that fails the first time that something is read."""

    def __init__(self):
        super().__init__()
        self.away = True

    def get(self, key):
        try:
            return super().get(key)
        finally:
            self.away = False


@pytest.fixture
def monitor(claimed, jobs, store, clock):
    return DatabaseJobMonitor(claimed, jobs=jobs, store=store, clock=clock, interval_seconds=HOUR)


def types(jobs, job):
    return [event.type for event in jobs.events(job.id)]


def test_new_stage_is_written_at_once(monitor, jobs, claimed):
    monitor.enter(Stage.FISHER)
    monitor.enter(Stage.TRAIN, total_steps=60)

    present = jobs.job(claimed.id)
    assert (present.stage, present.progress.total_steps) == (Stage.TRAIN, 60)
    assert types(jobs, claimed)[-2:] == [EventType.STAGE, EventType.STAGE]


def test_steps_within_the_interval_are_not_written(monitor, jobs, claimed):
    monitor.enter(Stage.TRAIN, total_steps=60)

    for step in range(1, 11):
        monitor.advance(step)

    assert jobs.job(claimed.id).progress.step == 0


def test_step_after_the_interval_is_written_with_an_estimate(claimed, jobs, store, clock):
    monitor = DatabaseJobMonitor(claimed, jobs=jobs, store=store, clock=clock, interval_seconds=0.0)
    monitor.enter(Stage.TRAIN, total_steps=60)

    monitor.advance(30)
    first = jobs.job(claimed.id).progress
    monitor.advance(40)

    assert (first.step, first.eta_seconds) == (30, None)
    assert jobs.job(claimed.id).progress.step == 40
    assert jobs.job(claimed.id).progress.eta_seconds is not None


def test_metrics_wait_for_the_next_write_and_are_not_lost(monitor, jobs, claimed):
    monitor.enter(Stage.TRAIN)
    monitor.metrics("training", {"forget_loss": 0.5})
    assert EventType.METRICS not in types(jobs, claimed)

    monitor.flush()

    assert jobs.events(claimed.id)[-1].data == {"forget_loss": 0.5}


def test_outage_costs_nothing_but_time(claimed, jobs, store, clock):
    away = OutageOf(jobs, times=2)
    monitor = DatabaseJobMonitor(claimed, jobs=away, store=store, clock=clock, interval_seconds=HOUR)
    monitor.enter(Stage.PREPARE)
    monitor.enter(Stage.BASELINE)

    monitor.flush()

    stages = [event.message for event in jobs.events(claimed.id) if event.type is EventType.STAGE]
    assert stages == ["prepare", "baseline"]


def test_lost_lease_ends_the_run(monitor, jobs, attempts, claimed):
    attempts.lost(claimed, reason="the worker stopped answering")

    with pytest.raises(LeaseLostError):
        monitor.enter(Stage.TRAIN)


def test_checkpoint_is_there_for_the_next_attempt(jobs, claimed, store, clock):
    monitor = DatabaseJobMonitor(claimed, jobs=jobs, store=store, clock=clock, checkpoint_seconds=0.0)
    assert monitor.load_checkpoint() is None
    monitor.save_checkpoint(b"first")
    monitor.save_checkpoint(b"second")

    following = DatabaseJobMonitor(claimed, jobs=jobs, store=store, clock=clock)

    assert following.load_checkpoint() == b"second"


def test_checkpoint_soon_after_another_is_not_stored(claimed, jobs, store, clock):
    monitor = DatabaseJobMonitor(claimed, jobs=jobs, store=store, clock=clock, checkpoint_seconds=HOUR)

    monitor.save_checkpoint(b"first")
    monitor.save_checkpoint(b"second")

    assert monitor.load_checkpoint() == b"first"


def test_history_tells_of_a_stored_checkpoint_and_not_of_each_that_follows(claimed, jobs, store, clock):
    monitor = DatabaseJobMonitor(claimed, jobs=jobs, store=store, clock=clock, checkpoint_seconds=0.0)

    for payload in (b"first", b"second"):
        monitor.save_checkpoint(payload)

    assert types(jobs, claimed).count(EventType.CHECKPOINT) == 1


def test_history_is_silent_about_a_checkpoint_that_was_not_stored(monitor, jobs, claimed, store):
    store.away = True

    monitor.save_checkpoint(b"lost")
    monitor.flush()

    assert EventType.CHECKPOINT not in types(jobs, claimed)


def test_checkpoint_of_an_attempt_without_lease_is_not_written(monitor, attempts, claimed, store):
    attempts.lost(claimed, reason="the worker stopped answering")

    with pytest.raises(LeaseLostError):
        monitor.save_checkpoint(b"late")

    assert store.artifacts == {}


def test_store_that_is_away_costs_a_checkpoint_and_not_the_run(monitor, store):
    store.away = True

    monitor.save_checkpoint(b"lost")

    store.away = False
    assert monitor.load_checkpoint() is None


def test_checkpoint_is_waited_for_when_the_store_is_away(claimed, jobs, clock):
    store = AwayOnce()
    store.artifacts[checkpoint_key(claimed.id)] = b"half a run"
    monitor = DatabaseJobMonitor(claimed, jobs=jobs, store=store, clock=clock)

    assert monitor.load_checkpoint() == b"half a run"
