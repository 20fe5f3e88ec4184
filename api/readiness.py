from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock, Thread

from api.services import Services


class PartState(StrEnum):
    """How a part of the service answered."""

    UP = "up"
    DOWN = "down"  # it answered with an error
    SILENT = "silent"  # it did not answer in time


class Probe:
    """Asks one part whether it works, with at most one question under way.

    A part that hangs holds one thread for as long as it hangs, however often readiness is asked. The thread is a
    daemon, so that it cannot hold up the end of the process either.
    """

    def __init__(self, check: Callable[[], object]) -> None:
        self._check = check
        self._lock = Lock()
        self._under_way: Future[None] | None = None

    def ask(self) -> Future[None]:
        """Return the answer to come: of the question under way, or of a new one."""
        with self._lock:
            if self._under_way is None or self._under_way.done():
                self._under_way = Future()
                Thread(target=self._answer, args=(self._under_way,), daemon=True).start()
            return self._under_way

    def _answer(self, answer: Future[None]) -> None:
        try:
            self._check()
        except Exception as broken:  # noqa: BLE001  # whatever a part answers with instead of working, it is down
            answer.set_exception(broken)
        else:
            answer.set_result(None)


@dataclass(frozen=True)
class Readiness:
    """Tells which parts answer, within ``timeout_seconds`` for all of them together."""

    probes: Mapping[str, Probe]
    timeout_seconds: float

    def __call__(self) -> dict[str, PartState]:
        """Return the state of each part."""
        answers = {part: probe.ask() for part, probe in self.probes.items()}
        wait(answers.values(), timeout=self.timeout_seconds)
        return {part: _state(answer) for part, answer in answers.items()}


def probes_of(services: Services) -> dict[str, Probe]:
    """Return a probe for each part that a request can need."""
    return {
        "database": Probe(services.check_database),
        "broker": Probe(services.queue.depth),
        "store": Probe(services.artifacts.check),
    }


def _state(answer: Future[None]) -> PartState:
    if not answer.done():
        return PartState.SILENT
    return PartState.DOWN if answer.exception() else PartState.UP
