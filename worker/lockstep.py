"""What the processes of one run share besides tensors: the first one asks the world, the others are told its answers.

All of them run the same recipe on the same task, so each asks the same questions in the same order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from core.domain.item_set import ItemSet
from core.domain.job import Stage
from core.pipeline.probe import ProbeTask
from core.pipeline.task import RunTask
from core.ports import Cache, JobMonitor, TextCache

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """What a process needs to take part in a run. It holds texts, so it goes through a pipe and nowhere else."""

    rank: int  # from 1: the runner itself is 0
    size: int
    rendezvous: Path  # a file by which the processes find each other
    torch_threads: int | None
    log_level: str
    task: RunTask | ProbeTask


@dataclass(frozen=True)
class Reply:
    """What a question was answered with: a value, or an exception of this class, whose message stays where it is."""

    value: object = None
    error: type[Exception] | None = None


@dataclass(frozen=True)
class Voice:
    """How the first process is heard by the others."""

    listeners: Sequence[Connection]

    def asked(self, question: Callable[[], T]) -> T:
        """Return the answer, or raise what the question raises, once every listener was told."""
        try:
            value = question()
        except Exception as error:
            self._tell(Reply(error=type(error)))
            raise
        self._tell(Reply(value))
        return value

    def _tell(self, reply: Reply) -> None:
        for listener in self.listeners:
            listener.send(reply)


@dataclass(frozen=True)
class Ear:
    """How the others hear the first process. ``next_reply`` waits for it."""

    next_reply: Callable[[], Reply]

    def heard(self, kind: type[T]) -> T:
        """Return what the first process was answered, or raise an exception of the class that it met."""
        reply = self.next_reply()
        if reply.error is not None:
            raise reply.error
        if not isinstance(reply.value, kind):
            raise TypeError(f"the processes of a run are out of step: one was told a {type(reply.value).__name__}")
        return reply.value


@dataclass(frozen=True)
class ToldCache:
    """The cache of the first process."""

    own: Cache
    voice: Voice

    def put(self, key: str, payload: bytes) -> None:
        """See the port."""
        self.own.put(key, payload)

    def get(self, key: str) -> bytes:
        """See the port."""
        return self.voice.asked(lambda: self.own.get(key))


@dataclass(frozen=True)
class ToldTexts:
    """The texts of base models, for the first process."""

    own: TextCache
    voice: Voice

    def put(self, item_set: ItemSet) -> None:
        """See the port."""
        self.own.put(item_set)

    def get(self, set_id: str) -> ItemSet:
        """See the port."""
        return self.voice.asked(lambda: self.own.get(set_id))


@dataclass(frozen=True)
class ToldMonitor:
    """The monitor of the first process."""

    own: JobMonitor
    voice: Voice

    def enter(self, stage: Stage, *, total_steps: int = 0) -> None:
        """See the port."""
        self.own.enter(stage, total_steps=total_steps)

    def advance(self, step: int) -> None:
        """See the port."""
        self.own.advance(step)

    def metrics(self, message: str, data: dict[str, float]) -> None:
        """See the port."""
        self.own.metrics(message, data)

    def save_checkpoint(self, payload: bytes) -> None:
        """See the port."""
        self.own.save_checkpoint(payload)

    def load_checkpoint(self) -> bytes | None:
        """See the port. None goes as no bytes at all, which no checkpoint is."""
        return self.voice.asked(lambda: self.own.load_checkpoint() or b"") or None


@dataclass(frozen=True)
class HeardCache:
    """The cache of the others. What they would store the first one stores."""

    ear: Ear

    def put(self, key: str, payload: bytes) -> None:
        """Leave it to the first process."""

    def get(self, key: str) -> bytes:  # noqa: ARG002  # the first process asked for the same key
        """See the port."""
        return self.ear.heard(bytes)


@dataclass(frozen=True)
class HeardTexts:
    """The texts of base models, for the others."""

    ear: Ear

    def put(self, item_set: ItemSet) -> None:
        """Leave it to the first process."""

    def get(self, set_id: str) -> ItemSet:  # noqa: ARG002  # as above
        """See the port."""
        return self.ear.heard(ItemSet)


@dataclass(frozen=True)
class HeardMonitor:
    """The monitor of the others. What they would tell the first one tells."""

    ear: Ear

    def enter(self, stage: Stage, *, total_steps: int = 0) -> None:
        """Leave it to the first process."""

    def advance(self, step: int) -> None:
        """Leave it to the first process."""

    def metrics(self, message: str, data: dict[str, float]) -> None:
        """Leave it to the first process."""

    def save_checkpoint(self, payload: bytes) -> None:
        """Leave it to the first process."""

    def load_checkpoint(self) -> bytes | None:
        """See the port."""
        return self.ear.heard(bytes) or None
