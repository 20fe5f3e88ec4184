"""What the OpenAPI document says about each route's answers, from the same table that makes them."""

from collections import defaultdict
from typing import Any

from api.errors import InternalError, UnavailableError, kind_of
from api.problems import PROBLEM_JSON, Problem
from core.domain.errors import InvalidRequestError, LetheError, UnauthenticatedError

# FastAPI's own type for the argument ``responses``.
Responses = dict[int | str, dict[str, Any]]

_ANYWHERE = (UnauthenticatedError, InternalError, UnavailableError)


def refusals(*errors: type[LetheError]) -> Responses:
    """Return the declared problems of a route with a key: those named, and those that can happen anywhere."""
    return problems(*errors, *_ANYWHERE)


def problems(*errors: type[LetheError]) -> Responses:
    """Return exactly these errors as declared responses, one for each status, with an example for each code."""
    by_status: defaultdict[int, list[type[LetheError]]] = defaultdict(list)
    for error in errors:
        by_status[kind_of(error).status].append(error)
    return {status: _response(by_status[status]) for status in sorted(by_status)}


def file_response(*media_types: str, description: str) -> dict[str, Any]:
    """Return the declaration of a download: its media types and the headers that come with it."""
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {
        "description": description,
        "content": dict.fromkeys(media_types, schema),
        "headers": {"ETag": header("The SHA-256 of the file, quoted."), "Accept-Ranges": header("`bytes`.")},
    }


def header(description: str) -> dict[str, Any]:
    """Return the declaration of a response header."""
    return {"description": description, "schema": {"type": "string"}}


def _response(errors: list[type[LetheError]]) -> dict[str, Any]:
    declared: dict[str, Any] = {
        "description": "; ".join(dict.fromkeys(kind_of(error).title for error in errors)),
        "content": {
            PROBLEM_JSON: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {error.code: {"value": _example(error)} for error in errors},
            }
        },
    }
    headers = {name for error in errors for name in kind_of(error).headers}
    if headers:
        declared["headers"] = {name: header("As RFC 9110 defines it.") for name in sorted(headers)}
    return declared


def _example(error: type[LetheError]) -> dict[str, object]:
    kind = kind_of(error)
    return Problem(
        type=f"/problems/{error.code}",
        title=kind.title,
        status=kind.status,
        detail=kind.remedy,
        code=error.code,
        param="/forget/0" if issubclass(error, InvalidRequestError) else None,
        request_id="req_5d41402abc4b2a76b9719d91",
        retryable=kind.retryable,
    ).model_dump()
