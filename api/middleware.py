import re
import time
import traceback
from dataclasses import dataclass, field

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import InternalError
from api.metrics import Metrics
from api.problems import problem_response
from core.domain.identifiers import new_id

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLIENT_CLOSED = 499  # nginx's word for a client that left before the answer; logged, never sent

# As ASGI has them: names in lower case.
_SECURITY_HEADERS = {
    b"cache-control": b"no-store",
    # The HTML report styles itself; nothing that the API serves may run or load anything.
    b"content-security-policy": (
        b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        b"form-action 'none'; frame-ancestors 'none'"
    ),
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}


@dataclass
class Exchange:
    """One request as the access log sees it."""

    request_id: str
    started: float = field(default_factory=time.perf_counter)
    status: int | None = None


class RequestBoundary:
    """The outermost layer: gives each request an id, a log line, its metrics, and an answer even to a bug.

    Exceptions end here. Passed on, the server would print them with their messages, and a message of a library
    can quote what it choked on.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._log = structlog.get_logger("lethe.api")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(request_id=_request_id(scope))
        scope.setdefault("state", {})["request_id"] = exchange.request_id

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                _add_headers(message, exchange.request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except ClientDisconnect:
            exchange.status = exchange.status or _CLIENT_CLOSED
        except Exception as error:  # noqa: BLE001  # the boundary: see the class
            self._log_bug(error, exchange)
            if exchange.status is None:
                await problem_response(InternalError(), exchange.request_id)(scope, receive, send_on)
        finally:
            self._account(scope, exchange)

    def _log_bug(self, error: Exception, exchange: Exchange) -> None:
        self._log.error(
            "request failed",
            request_id=exchange.request_id,
            error=type(error).__qualname__,
            cause=type(error.__cause__).__qualname__ if error.__cause__ else None,
            frames=[
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
            ],
        )

    def _account(self, scope: Scope, exchange: Exchange) -> None:
        seconds = time.perf_counter() - exchange.started
        status = exchange.status or _CLIENT_CLOSED
        route = route_template(scope)
        self._metrics.observe(method=scope["method"], route=route, status=status, seconds=seconds)
        self._log.info(
            "request",
            request_id=exchange.request_id,
            method=scope["method"],
            route=route,
            status=status,
            duration_ms=round(1000 * seconds, 1),
            key_id=scope["state"].get("key_id"),
        )


def route_template(scope: Scope) -> str:
    """Return the path with its parameters' names, such as ``/v1/jobs/{job_id}``; the path itself holds ids."""
    path = getattr(scope.get("route"), "path_format", None)
    return path if isinstance(path, str) else "unmatched"


def _request_id(scope: Scope) -> str:
    proposed = Headers(scope=scope).get("x-request-id", "")
    return proposed if _SANE_REQUEST_ID.fullmatch(proposed) else new_id("req")


def _add_headers(message: Message, request_id: str) -> None:
    """Add the request's id, and each security header that the route has not set itself."""
    own = message["headers"]
    names = {name for name, _ in own}
    missing = ((name, value) for name, value in _SECURITY_HEADERS.items() if name not in names)
    message["headers"] = [*own, (b"x-request-id", request_id.encode()), *missing]
