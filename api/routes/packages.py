from fastapi import APIRouter, Request, Response

from api.auth import TenantOf
from api.dependencies import ServicesOf
from api.downloads import deliver
from api.errors import NotAcceptableError, RangeNotSatisfiableError
from api.negotiation import negotiate
from api.responses import Responses, file_response, header, problems, refusals
from api.routes.jobs import JobId
from core.domain.errors import ArtifactMissingError, NoAdapterError, NotFoundError, NotReadyError
from core.domain.job import Package
from core.domain.report import EvaluationReport
from core.ports import JobRepository

router = APIRouter(tags=["packages"])

_ZIP = "application/zip"
_REPORTS = ("application/json", "text/html")

_REFUSALS = refusals(NotFoundError, NotReadyError, RangeNotSatisfiableError)
_CONDITIONAL: Responses = {
    304: {"description": "You have this file already: If-None-Match names its ETag."},
    # One entry for what is missing from the store, and for what nobody foresaw.
    500: problems(ArtifactMissingError)[500],
}
_PARTIAL_HEADERS = {"Content-Range": header("Which bytes these are, and of how many.")}


def _zip_responses() -> Responses:
    whole = file_response(_ZIP, description="The whole zip.")
    part = file_response(_ZIP, description="The asked range of the zip.")
    part["headers"] = {**part["headers"], **_PARTIAL_HEADERS}
    return {
        200: whole,
        206: part,
        **refusals(NotFoundError, NoAdapterError, NotReadyError, RangeNotSatisfiableError),
        **_CONDITIONAL,
    }


def _report_responses() -> Responses:
    whole = file_response("text/html", description="The whole report.")
    whole["model"] = EvaluationReport
    part = file_response(*_REPORTS, description="The asked range of the report.")
    part["headers"] = {**part["headers"], **_PARTIAL_HEADERS}
    return {200: whole, 206: part, **_REFUSALS, **_CONDITIONAL, **problems(NotAcceptableError)}


def _without_ranges(responses: Responses) -> Responses:
    """Return what HEAD answers: RFC 9110 defines ranges for GET alone."""
    return {status: declared for status, declared in responses.items() if status not in {206, 416}}


@router.get(
    "/v1/jobs/{job_id}/adapter",
    operation_id="getAdapter",
    summary="Download the adapter",
    response_class=Response,
    responses=_zip_responses(),
)
@router.head(
    "/v1/jobs/{job_id}/adapter",
    operation_id="headAdapter",
    summary="Read the adapter's size and digest",
    response_class=Response,
    responses=_without_ranges(_zip_responses()),
)
def get_adapter(job_id: JobId, request: Request, tenant: TenantOf, services: ServicesOf) -> Response:
    """Return the zip of a PEFT directory with its manifest. Send Range to resume, with If-Range to be sure."""
    package = _package(services.jobs, job_id, tenant)
    if package.adapter is None:
        raise NoAdapterError("no action was needed: the report says why, and there is no adapter")
    return deliver(request, services.artifacts, package.adapter, media_type=_ZIP, filename=f"{job_id}-adapter.zip")


@router.get(
    "/v1/jobs/{job_id}/report",
    operation_id="getReport",
    summary="Read the evaluation report",
    response_class=Response,
    responses=_report_responses(),
)
@router.head(
    "/v1/jobs/{job_id}/report",
    operation_id="headReport",
    summary="Read the report's size and digest",
    response_class=Response,
    responses=_without_ranges(_report_responses()),
)
def get_report(job_id: JobId, request: Request, tenant: TenantOf, services: ServicesOf) -> Response:
    """Return the report as JSON, or as a page under `Accept: text/html`."""
    package = _package(services.jobs, job_id, tenant)
    media_type = negotiate(request.headers.get("accept"), _REPORTS)
    file = package.report_html if media_type == "text/html" else package.report_json
    response = deliver(request, services.artifacts, file, media_type=media_type)
    response.headers["Vary"] = "Accept"
    return response


def _package(jobs: JobRepository, job_id: str, tenant: str) -> Package:
    job = jobs.job(job_id, tenant=tenant)
    if job.package is None:
        raise NotReadyError(f"the job is {job.state}; its package exists once it has succeeded")
    return job.package
