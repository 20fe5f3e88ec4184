"""Our API and the bare routes, as processes of their own."""

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cli.broker import broker_answers
from cli.demo.service import free_port
from cli.deployment import Deployment
from cli.part import Part, RunningPart
from cli.stack import Stack

_HOST = "127.0.0.1"
_STARTED_WITHIN_SECONDS = 60.0
_STOPPED_WITHIN_SECONDS = 10.0
_LOOK_EVERY_SECONDS = 0.05
_LOG_TAIL = 2000  # characters


@contextmanager
def our_api(deployment: Deployment) -> Iterator[int]:
    """Yield the port of the API of `lethe serve` with its broker. Worker and sweeper are left out: jobs stay queued."""
    port = free_port()
    parts = {part.name: part for part in Stack(deployment, _HOST, port).parts}
    with broker(deployment), _running(parts["api"], lambda: _listens(port)):
        yield port


@contextmanager
def bare_api(deployment: Deployment, recorded: Path) -> Iterator[int]:
    """Yield the port of the bare routes on the database of the deployment."""
    port = free_port()
    options = ["--database", deployment.database_url, "--recorded", str(recorded), "--port", str(port)]
    command = [sys.executable, "-m", "bench.performance.bare_http", *options]
    with _running(Part("bare", command, {}, deployment.log_of("bare")), lambda: _listens(port)):
        yield port


@contextmanager
def broker(deployment: Deployment) -> Iterator[None]:
    """Let the deployment's broker run."""
    parts = {part.name: part for part in Stack(deployment, _HOST, 0).parts}
    with _running(parts["broker"], lambda: broker_answers(deployment.socket)):
        yield


@contextmanager
def _running(part: Part, is_ready: Callable[[], bool]) -> Iterator[None]:
    with ExitStack() as undo:
        running = RunningPart(part, inherited=[])
        undo.callback(lambda: running.stop(deadline=time.monotonic() + _STOPPED_WITHIN_SECONDS))
        undo.callback(running.ask_to_stop)
        deadline = time.monotonic() + _STARTED_WITHIN_SECONDS
        while not is_ready():
            if not running.is_alive or time.monotonic() > deadline:
                raise RuntimeError(f"{part.name} did not start; its log ends so:\n{part.log.read_text()[-_LOG_TAIL:]}")
            time.sleep(_LOOK_EVERY_SECONDS)
        yield


def _listens(port: int) -> bool:
    try:
        socket.create_connection((_HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
