import threading

from tests.fakes.clock import START
from tests.fakes.worker_repository import FakeWorkerRepository
from worker.presence import Presence


class Away(FakeWorkerRepository):
    """A database that is away."""

    def seen(self, worker):
        raise ConnectionError


class Told(FakeWorkerRepository):
    """A database that lets a test wait until it was told."""

    def __init__(self):
        super().__init__()
        self.was_told = threading.Event()

    def seen(self, worker):
        super().seen(worker)
        self.was_told.set()


def test_a_worker_is_alive_once_it_said_so(clock):
    workers = FakeWorkerRepository()

    Presence(workers, "host/1", clock).say()

    (worker,) = workers.live(since=START)
    assert (worker.owner, worker.device, worker.seen_at) == ("host/1", None, START)


def test_a_database_that_is_away_does_not_end_the_worker(clock):
    Presence(Away(), "host/1", clock).say()


def test_it_is_said_from_the_beginning_on(clock):
    workers = Told()

    Presence(workers, "host/1", clock).keep_saying()

    assert workers.was_told.wait(5)
