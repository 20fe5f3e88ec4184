from datetime import timedelta

from core.domain.device import LiveWorker
from tests.contract.conftest import Database
from tests.fakes.clock import START
from tests.fakes.examples import CPU

SECOND = timedelta(seconds=1)


def a_worker(owner: str = "host/1", *, device=None, seen_at=START) -> LiveWorker:
    return LiveWorker(owner=owner, device=device, seen_at=seen_at)


def test_live_returns_those_heard_of_since_then(database: Database):
    late, early = a_worker("host/2", device=CPU, seen_at=START), a_worker("host/1", seen_at=START - SECOND)
    for worker in (late, early):
        database.workers.seen(worker)

    assert database.workers.live(since=START) == (late,)
    assert database.workers.live(since=START - SECOND) == (early, late)
    assert database.workers.live(since=START + SECOND) == ()


def test_a_worker_that_is_heard_of_again_is_one_worker(database: Database):
    for second in range(3):
        database.workers.seen(a_worker(seen_at=START + second * SECOND))

    assert database.workers.live(since=START) == (a_worker(seen_at=START + 2 * SECOND),)


def test_what_is_known_of_the_device_stays_when_nothing_is_said_about_it(database: Database):
    database.workers.seen(a_worker(device=CPU))

    database.workers.seen(a_worker(seen_at=START + SECOND))

    assert database.workers.live(since=START) == (a_worker(device=CPU, seen_at=START + SECOND),)


def test_a_device_that_is_told_replaces_what_was_known(database: Database):
    smaller = CPU.model_copy(update={"memory_bytes": 1})
    database.workers.seen(a_worker(device=CPU))

    database.workers.seen(a_worker(device=smaller))

    assert database.workers.live(since=START) == (a_worker(device=smaller),)


def test_a_worker_unheard_of_for_a_day_is_forgotten(database: Database):
    database.workers.seen(a_worker("host/1"))
    database.workers.seen(a_worker("host/2", seen_at=START + timedelta(hours=23)))

    database.workers.seen(a_worker("host/3", seen_at=START + timedelta(days=1, seconds=1)))

    assert [worker.owner for worker in database.workers.live(since=START)] == ["host/2", "host/3"]
