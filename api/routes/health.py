from fastapi import APIRouter, Request, Response

from api.dependencies import ReadinessOf
from api.errors import UnavailableError
from api.problems import problem_response, request_id_of
from api.readiness import PartState
from api.responses import problems
from api.schemas.health import Alive, Ready

router = APIRouter(tags=["operations"])


@router.get("/healthz", operation_id="getHealth", summary="Whether the process answers")
def get_health() -> Alive:
    """Return ok. It asks nothing of any other part: a restart of this process would not mend them."""
    return Alive(status="ok")


@router.head(
    "/healthz",
    operation_id="headHealth",
    summary="Whether the process answers, without a body",
    response_class=Response,
)
def head_health() -> Response:
    """Return the status alone."""
    return Response()


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Whether every part answers",
    response_model=Ready,
    responses=problems(UnavailableError),
)
def get_readiness(request: Request, readiness: ReadinessOf) -> Ready | Response:
    """Return the state of database, broker and store. 503 when one of them is not up, with the same `parts`."""
    parts = readiness()
    if all(state is PartState.UP for state in parts.values()):
        return Ready(status="ready", parts=parts)
    missing = ", ".join(f"{part} is {state}" for part, state in parts.items() if state is not PartState.UP)
    return problem_response(UnavailableError(missing), request_id_of(request), {"parts": parts})


@router.head(
    "/readyz",
    operation_id="headReadiness",
    summary="Whether every part answers, without a body",
    response_class=Response,
    responses=problems(UnavailableError),
)
def head_readiness(request: Request, readiness: ReadinessOf) -> Response:
    """Return the status alone: 200, or 503 when a part is not up."""
    answer = get_readiness(request, readiness)
    return (
        Response(status_code=answer.status_code, headers=answer.headers) if isinstance(answer, Response) else Response()
    )
