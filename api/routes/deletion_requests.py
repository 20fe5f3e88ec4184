from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api.auth import TenantOf
from api.cursor import known_cursor
from api.dependencies import ServicesOf, SettingsOf, SubmitOf
from api.errors import (
    BodyTooLargeError,
    EmptyTextError,
    InvalidCursorError,
    InvalidFieldError,
    InvalidJsonError,
    InvalidTextError,
    MissingFieldError,
    UnknownFieldError,
    UnknownMethodError,
    UnknownOptionError,
    UnsupportedMediaTypeError,
)
from api.json_body import parse_json_object, read_json_bytes
from api.openapi import NEW_DELETION_REQUEST_REF
from api.responses import header, refusals
from api.schemas.deletion_request import (
    DeletionRequestBody,
    DeletionRequestsQuery,
    DeletionRequestWithItems,
    NewDeletionRequest,
)
from api.schemas.page import ListBody
from api.validation import validate_deletion_request
from core.domain.errors import (
    DuplicateItemError,
    ForgetRetainOverlapError,
    GeneralCorpusRequiredError,
    HoldoutSetRequiredError,
    ItemTooLongError,
    ItemTooShortError,
    LayerOutOfRangeError,
    NotFoundError,
    OptionWithoutEffectError,
    PromptRequiredError,
    RetainSetRequiredError,
    SubjectNotInPromptError,
    SubjectRequiredError,
    TooManyItemsError,
    UnknownBaseModelError,
    UnknownModuleError,
)
from core.domain.job import Job
from core.domain.request import Disposition, RequestSummary
from core.jobs.submission import Submission
from core.ports import Page

router = APIRouter(tags=["deletion requests"])

RequestId = Annotated[str, Path(pattern=r"^dr_[0-9a-z]{1,64}$", description="Id of a deletion request.")]


async def _body_bytes(request: Request, settings: SettingsOf, _tenant: TenantOf) -> bytes:
    """Read the body; the tenant is asked for so that nobody without a key is read at all."""
    return await read_json_bytes(request, max_bytes=settings.max_body_bytes)


def _new_request(body: Annotated[bytes, Depends(_body_bytes)]) -> NewDeletionRequest:
    """Parse the body, in a thread: a large one would hold up every other request."""
    return validate_deletion_request(parse_json_object(body))


@router.post(
    "/v1/deletion-requests",
    operation_id="createDeletionRequest",
    summary="Ask for texts to be forgotten",
    status_code=202,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": NEW_DELETION_REQUEST_REF}}},
        }
    },
    responses={
        202: {"headers": {"Location": header("Where to follow the request.")}},
        **refusals(
            InvalidJsonError,
            BodyTooLargeError,
            UnsupportedMediaTypeError,
            MissingFieldError,
            InvalidFieldError,
            UnknownFieldError,
            EmptyTextError,
            InvalidTextError,
            UnknownBaseModelError,
            UnknownMethodError,
            UnknownOptionError,
            TooManyItemsError,
            ItemTooLongError,
            ItemTooShortError,
            DuplicateItemError,
            ForgetRetainOverlapError,
            RetainSetRequiredError,
            GeneralCorpusRequiredError,
            HoldoutSetRequiredError,
            OptionWithoutEffectError,
            UnknownModuleError,
            LayerOutOfRangeError,
            PromptRequiredError,
            SubjectRequiredError,
            SubjectNotInPromptError,
        ),
    },
)
def create_deletion_request(
    body: Annotated[NewDeletionRequest, Depends(_new_request)], tenant: TenantOf, submit: SubmitOf, response: Response
) -> DeletionRequestBody:
    """Store the request with its job and hand the job to the workers. Follow it by `job_id`."""
    request, job = submit(
        Submission(
            tenant=tenant,
            base_model=body.base_model,
            forget=body.forget,
            retain=body.retain,
            method=body.method,
            policy=body.policy,
            external_id=body.external_id,
            metadata=body.metadata,
        )
    )
    response.headers["Location"] = f"/v1/deletion-requests/{request.id}"
    return DeletionRequestBody.of(request.summary, job)


@router.get(
    "/v1/deletion-requests",
    operation_id="listDeletionRequests",
    summary="List deletion requests, newest first",
    responses=refusals(InvalidFieldError, UnknownFieldError, InvalidCursorError),
)
def list_deletion_requests(
    query: Annotated[DeletionRequestsQuery, Query()], tenant: TenantOf, services: ServicesOf
) -> ListBody[DeletionRequestBody]:
    """Return a page of your requests, each with the number of items in each disposition."""

    def read() -> Page[RequestSummary]:
        with known_cursor():
            return services.jobs.list_requests(
                tenant=tenant,
                after=query.after,
                limit=query.limit,
                base_model=query.base_model,
                external_id=query.external_id,
            )

    page = read()
    jobs = services.jobs.jobs_by_id({request.job_id for request in page.data})
    if any(_ended_in_between(request, jobs[request.job_id]) for request in page.data):
        page = read()
        jobs |= services.jobs.jobs_by_id({request.job_id for request in page.data} - jobs.keys())
    bodies = [DeletionRequestBody.of(request, jobs[request.job_id]) for request in page.data]
    return ListBody[DeletionRequestBody].of(bodies, has_more=page.has_more)


def _ended_in_between(request: RequestSummary, job: Job) -> bool:
    """Whether the job ended after the request was read: no item of an ended job is pending."""
    return job.state.is_terminal and request.dispositions[Disposition.PENDING] > 0


@router.get(
    "/v1/deletion-requests/{request_id}",
    operation_id="getDeletionRequest",
    summary="Read a deletion request",
    responses=refusals(NotFoundError),
)
def get_deletion_request(request_id: RequestId, tenant: TenantOf, services: ServicesOf) -> DeletionRequestWithItems:
    """Return one request with a disposition for each item."""
    request = services.jobs.request(request_id, tenant=tenant)
    job = services.jobs.job(request.job_id)
    if job.state.is_terminal:  # its end may have come between the two reads, and is in the items too
        request = services.jobs.request(request_id, tenant=tenant)
    return DeletionRequestWithItems.of(request, job)
