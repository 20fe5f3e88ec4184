from fastapi import APIRouter

from api.dependencies import EstimateOf
from api.responses import refusals
from api.schemas.estimate import EstimateBody
from api.submissions import BODY, REFUSALS, IncomingOf

router = APIRouter(tags=["estimates"])


@router.post(
    "/v1/estimates",
    operation_id="createEstimate",
    summary="Ask what a deletion request would take",
    openapi_extra=BODY,
    responses=refusals(*REFUSALS),
)
def create_estimate(incoming: IncomingOf, estimate: EstimateOf) -> EstimateBody:
    """Take what `POST /v1/deletion-requests` takes, refuse what it would refuse, and store nothing."""
    return EstimateBody.of(estimate(incoming.submission()))
