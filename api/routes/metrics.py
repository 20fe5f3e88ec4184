from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0

from api.dependencies import MetricsOf
from api.errors import InternalError
from api.responses import problems

router = APIRouter(tags=["operations"])


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"description": "Prometheus text format.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **problems(InternalError),
    },
)
def get_metrics(metrics: MetricsOf) -> Response:
    """Return what this process has counted, and the jobs by state."""
    return Response(metrics.render(), media_type=CONTENT_TYPE_PLAIN_1_0_0)
