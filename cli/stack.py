import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

import httpx

from cli.broker import broker_answers, broker_part
from cli.composition import migrate
from cli.deployment import Deployment
from cli.errors import CommandError
from cli.lock import only_stack_in
from cli.part import Part, RunningPart

_READY_WITHIN_SECONDS = 60.0
_STOPPED_WITHIN_SECONDS = 12.0  # a worker hands its job back within its own grace of five seconds
_LOOK_EVERY_SECONDS = 0.1
# Less than the patience above: a download that goes on must not turn an orderly stop into a kill.
_GRACE = ("--timeout-graceful-shutdown", "5")


class StoppedError(Exception):
    """The stack was asked to stop before it was ready."""


@dataclass
class Stack:
    """API, worker, sweeper and broker of one deployment, as child processes that are kept running."""

    deployment: Deployment
    host: str
    port: int
    is_stopping: Callable[[], bool] = lambda: False
    _running: list[RunningPart] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the API answers."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104  # compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every part, in the order in which they start."""
        broker = broker_part(
            self.deployment.socket,
            data_dir=self.deployment.data_dir,
            environment={},
            log=self.deployment.log_of("broker"),
        )
        api = ["uvicorn", "--factory", "api.main:create_app_from_environment", "--no-access-log", "--no-server-header"]
        return (
            broker,
            self._python("sweeper", "worker.sweeper"),
            self._python("worker", "worker.main"),
            self._python("api", *api, *_GRACE, "--host", self.host, "--port", str(self.port)),
        )

    def keep_alive(self) -> list[str]:
        """Start every part again that died, and return their names. To be called again and again."""
        return [running.part.name for running in self._running if running.keep_alive()]

    def start(self, *, lock: int) -> None:
        """Start all parts and return once the API says that it is ready.

        Raises:
            CommandError: the port is taken, or the stack did not become ready; the message names the logs.
            StoppedError: it was asked to stop meanwhile.
        """
        self._require_free_port()
        migrate(self.deployment.data_dir)
        broker, *others = self.parts
        self._running.append(RunningPart(broker, inherited=[lock]))
        self._wait_until(lambda: broker_answers(self.deployment.socket))
        for part in others:
            self._running.append(RunningPart(part, inherited=[lock]))
        self._wait_until(self._is_ready)

    def stop(self) -> None:
        """Return once no part is left. The broker is last, for the worker says goodbye to it."""
        broker, others = self._running[:1], self._running[1:]
        for running in (others, broker):
            deadline = time.monotonic() + _STOPPED_WITHIN_SECONDS
            for part in running:
                part.ask_to_stop()
            for part in running:
                part.stop(deadline=deadline)
        self._running.clear()

    def _python(self, name: str, *module: str) -> Part:
        return Part(name, [sys.executable, "-m", *module], self.deployment.environment, self.deployment.log_of(name))

    def _require_free_port(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as taken:
                raise CommandError(
                    f"{self.host}:{self.port} cannot be used ({taken.strerror}): choose --port"
                ) from taken

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_WITHIN_SECONDS
        while not condition():
            if self.is_stopping():
                raise StoppedError
            if time.monotonic() > deadline:
                self._give_up()
            self.keep_alive()
            time.sleep(_LOOK_EVERY_SECONDS)

    def _give_up(self) -> NoReturn:
        logs = self.deployment.log_of("*")
        raise CommandError(f"not ready within {_READY_WITHIN_SECONDS:.0f} s; the logs say why: {logs}")


@contextmanager
def running_stack(
    deployment: Deployment, *, host: str, port: int, is_stopping: Callable[[], bool] = lambda: False
) -> Iterator[Stack]:
    """Yield a stack that is ready, and stop it afterwards, also when it never became ready.

    Raises:
        CommandError: as :meth:`Stack.start`, or another stack runs in this directory.
        StoppedError: it was asked to stop before it was ready.
    """
    with ExitStack() as undo:
        lock = undo.enter_context(only_stack_in(deployment.data_dir, is_stopping=is_stopping))
        deployment.clear_scratch()
        stack = Stack(deployment, host, port, is_stopping)
        undo.callback(stack.stop)
        stack.start(lock=lock)
        yield stack
