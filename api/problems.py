from collections.abc import Mapping

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.errors import HttpError, InternalError, kind_of
from core.domain.errors import ConflictError, InvalidRequestError, LetheError

PROBLEM_JSON = "application/problem+json"


class Problem(BaseModel):
    """An error as RFC 9457 problem details."""

    # Members beyond these are allowed by the RFC; /readyz adds the state of each part.
    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "/problems/empty_text",
                    "title": "Empty text",
                    "status": 422,
                    "detail": "the text holds no visible character",
                    "code": "empty_text",
                    "param": "/forget/0/completion",
                    "request_id": "req_5d41402abc4b2a76b9719d91",
                    "retryable": False,
                }
            ]
        },
    )
    type: str = Field(description="Reference to the page about this kind of problem.")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What is wrong here and how to mend it; never the offending value.")
    code: str = Field(description="The stable word to branch on.")
    param: str | None = Field(description="JSON pointer into the body, or the name of a query parameter.")
    request_id: str
    retryable: bool = Field(description="Whether the same request may succeed later.")


def problem_of(error: LetheError, request_id: str, members: Mapping[str, object] | None = None) -> Problem:
    """Return the error as the client sees it, with further members where the route has some to add."""
    kind = kind_of(type(error))
    code = InternalError.code if type(error) is LetheError else error.code
    return Problem(
        type=f"/problems/{code}",
        title=kind.title,
        status=kind.status,
        detail=_detail(error) or kind.remedy,
        code=code,
        param=error.param if isinstance(error, InvalidRequestError) else None,
        request_id=request_id,
        retryable=kind.retryable,
        **dict(members or {}),
    )


def problem_response(error: LetheError, request_id: str, members: Mapping[str, object] | None = None) -> Response:
    """Return the error as a response, with the headers that its status asks for."""
    kind = kind_of(type(error))
    own = error.headers if isinstance(error, HttpError) else {}
    return Response(
        problem_of(error, request_id, members).model_dump_json(),
        status_code=kind.status,
        media_type=PROBLEM_JSON,
        headers={**kind.headers, **own},
    )


def request_id_of(request: Request) -> str:
    """Return the id that the middleware gave this request."""
    return str(request.state.request_id)


def _detail(error: LetheError) -> str:
    """Return the error's own sentence where its class promises that it holds no input; other messages name ids."""
    if isinstance(error, InvalidRequestError | ConflictError | HttpError) and not isinstance(error, InternalError):
        return str(error)
    return ""
