import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.errors import (
    InternalError,
    InvalidFieldError,
    MethodNotAllowedError,
    UnavailableError,
    UnknownFieldError,
    UnknownRouteError,
    kind_of,
)
from api.middleware import route_template
from api.problems import problem_response, request_id_of
from api.routes import ROUTERS
from api.validation import plain_message
from core.domain.errors import LetheError, NotFoundError


def install_handlers(app: FastAPI, outages: tuple[type[Exception], ...]) -> None:
    """Answer every foreseen error with problem details. The unforeseen ones end at the request boundary."""
    app.add_exception_handler(LetheError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_parameter)
    app.add_exception_handler(HTTPException, _answer_http)
    for outage in outages:
        app.add_exception_handler(outage, _answer_outage)


async def _answer_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, LetheError):  # registered for no other; said for the types
        raise error
    if kind_of(type(error)).status >= 500:
        _log("request failed", request, error)
    return problem_response(error, request_id_of(request))


async def _answer_invalid_parameter(request: Request, error: Exception) -> Response:
    """Answer for a query that cannot be. A path that cannot hold an id names nothing, so it is a plain 404."""
    if not isinstance(error, RequestValidationError):  # registered for no other; said for the types
        raise error
    first = error.errors()[0]
    place, *names = first["loc"]
    if place != "query":
        return problem_response(NotFoundError(), request_id_of(request))
    if first["type"] == "extra_forbidden":
        # The name is the client's, so it is not repeated.
        refusal: LetheError = UnknownFieldError("an unknown query parameter; see /openapi.json", param="")
    else:
        refusal = InvalidFieldError(plain_message(first["type"], first["msg"]), param=str(names[0]))
    return problem_response(refusal, request_id_of(request))


async def _answer_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    answer: LetheError = InternalError()
    if status == 404:
        answer = UnknownRouteError()
    elif status == 405:
        allow = ", ".join(_methods_at(request.url.path)) or "GET"
        answer = MethodNotAllowedError(f"this path knows {allow}", headers={"Allow": allow})
    return problem_response(answer, request_id_of(request))


async def _answer_outage(request: Request, error: Exception) -> Response:
    _log("a backend is away", request, error)
    return problem_response(UnavailableError(), request_id_of(request))


def _methods_at(path: str) -> list[str]:
    """Return every method of every route with this path; the framework's own answer names those of one route."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return sorted({method for route in routes if route.path_regex.match(path) for method in route.methods or ()})


def _log(what: str, request: Request, error: Exception) -> None:
    # The class alone: a message of the driver or the store may quote what it was given.
    structlog.get_logger("lethe.api").error(
        what, request_id=request_id_of(request), route=route_template(request.scope), error=type(error).__qualname__
    )
