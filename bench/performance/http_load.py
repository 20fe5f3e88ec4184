"""A client that costs little beside the server: prepared bytes on open sockets, and answers that are barely read."""

import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"content-length: (\d+)\r\n", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Burst:
    """What came of some requests."""

    seconds: float  # wall time from the first byte sent to the last one received
    latencies: list[float]  # seconds of each request
    client_seconds: float  # processor time of this process

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    @property
    def p99(self) -> float:
        """The latency that one in a hundred exceeds, in seconds."""
        return sorted(self.latencies)[len(self.latencies) * 99 // 100]


@dataclass
class _Line:
    """A connection that has one request under way at a time."""

    socket: socket.socket
    status: int  # that every answer should have
    sent_at: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    def send(self, request: bytes) -> None:
        self.received.clear()
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def is_answered(self) -> bool:
        """Read what is there, and return whether the answer is complete.

        Raises:
            RuntimeError: it is another answer than the expected one, or the server closed the connection.
        """
        piece = self.socket.recv(1 << 16)
        self.received += piece
        head_end = self.received.find(_HEAD_END)
        expected = b"HTTP/1.1 %d " % self.status
        if not piece or not self.received.startswith(expected[: len(self.received)]):
            raise RuntimeError(f"{expected!r} was expected, and not {bytes(self.received[: len(expected)])!r}")
        if head_end < 0:
            return False
        length = _LENGTH.search(self.received, 0, head_end + 2)
        if length is None:
            raise RuntimeError("the answer does not tell its length")
        return len(self.received) >= head_end + len(_HEAD_END) + int(length[1])


def request_bytes(method: str, path: str, *, key: str, body: bytes = b"") -> bytes:
    """Return an HTTP/1.1 request with a bearer key; a body is JSON."""
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {key}"]
    if body:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


def burst(port: int, requests: Sequence[bytes], *, connections: int, status: int) -> Burst:
    """Send all the requests, each connection its next one when the last is answered.

    Raises:
        RuntimeError: an answer has another status.
    """
    waiting = deque(requests)
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector, ExitStack() as open_sockets:
        lines = [_Line(open_sockets.enter_context(_open(port)), status) for _ in range(min(connections, len(requests)))]
        started, processor = time.perf_counter(), time.process_time()
        for line in lines:
            selector.register(line.socket, selectors.EVENT_READ, line)
            line.send(waiting.popleft())
        while len(latencies) < len(requests):
            for ready, _ in _ready(selector):
                line = ready.data
                if not line.is_answered():
                    continue
                latencies.append(time.perf_counter() - line.sent_at)
                if waiting:
                    line.send(waiting.popleft())
        return Burst(time.perf_counter() - started, latencies, time.process_time() - processor)


def _open(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _ready(selector: selectors.BaseSelector) -> list[tuple[selectors.SelectorKey, int]]:
    ready = selector.select(_PATIENCE_SECONDS)
    if not ready:
        raise RuntimeError(f"no answer within {_PATIENCE_SECONDS:.0f} s")
    return ready
