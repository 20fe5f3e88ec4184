"""A deletion request as it comes in, for the routes that take one: to file it, or to ask what it would take."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from api.auth import TenantOf
from api.dependencies import settings_of
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


@dataclass(frozen=True)
class Incoming:
    """A body that was read and not looked into. That is for the route's thread: a large one takes long to parse."""

    tenant: str
    body: bytes = field(repr=False)

    def submission(self) -> Submission:
        """Return what is asked for; InvalidRequestError, by its subclasses, where it is not well-formed."""
        new: NewDeletionRequest = validate_deletion_request(parse_json_object(self.body))
        return Submission(
            tenant=self.tenant,
            base_model=new.base_model,
            forget=new.forget,
            retain=new.retain,
            method=new.method,
            policy=new.policy,
            external_id=new.external_id,
            metadata=new.metadata,
        )


async def _incoming(request: Request, tenant: TenantOf) -> Incoming:
    """Read the body, after the key: nobody without one is read at all."""
    return Incoming(tenant, await read_json_bytes(request, max_bytes=settings_of(request).max_body_bytes))


IncomingOf = Annotated[Incoming, Depends(_incoming)]
