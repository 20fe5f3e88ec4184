"""A deletion request as it comes in, for the routes that take one: to file it, or to ask what it would take."""

from typing import Annotated, Any

from fastapi import Depends, Request

from api.auth import TenantOf
from api.dependencies import SettingsOf
from api.errors import (
    BodyTooLargeError,
    EmptyTextError,
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
from api.schemas.deletion_request import NewDeletionRequest
from api.validation import validate_deletion_request
from core.domain.errors import (
    DoesNotFitError,
    DuplicateItemError,
    ForgetRetainOverlapError,
    GeneralCorpusRequiredError,
    HoldoutSetRequiredError,
    ItemTooLongError,
    ItemTooShortError,
    LayerOutOfRangeError,
    LetheError,
    OptionWithoutEffectError,
    PromptRequiredError,
    RetainSetRequiredError,
    SubjectNotInPromptError,
    SubjectRequiredError,
    TooManyItemsError,
    UnknownBaseModelError,
    UnknownModuleError,
)
from core.jobs.submission import Submission

BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": NEW_DELETION_REQUEST_REF}}}}
}

REFUSALS: tuple[type[LetheError], ...] = (
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
    DoesNotFitError,
)


async def _body_bytes(request: Request, settings: SettingsOf, _tenant: TenantOf) -> bytes:
    """Read the body; the tenant is asked for so that nobody without a key is read at all."""
    return await read_json_bytes(request, max_bytes=settings.max_body_bytes)


def _submission(body: Annotated[bytes, Depends(_body_bytes)], tenant: TenantOf) -> Submission:
    """Parse the body, in a thread: a large one would hold up every other request."""
    new: NewDeletionRequest = validate_deletion_request(parse_json_object(body))
    return Submission(
        tenant=tenant,
        base_model=new.base_model,
        forget=new.forget,
        retain=new.retain,
        method=new.method,
        policy=new.policy,
        external_id=new.external_id,
        metadata=new.metadata,
    )


SubmissionOf = Annotated[Submission, Depends(_submission)]
