"""What HTTP adds to the domain's errors, and the one table that gives each of them its status."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from core.domain.errors import (
    AlreadyExistsError,
    ArtifactMissingError,
    BaseModelMismatchError,
    ConflictError,
    DoesNotFitError,
    DuplicateItemError,
    ForgetRetainOverlapError,
    GeneralCorpusRequiredError,
    HoldoutSetRequiredError,
    IllegalTransitionError,
    InvalidRequestError,
    ItemTooLongError,
    ItemTooShortError,
    JobNotSucceededError,
    JobWithoutAdapterError,
    LayerOutOfRangeError,
    LeaseLostError,
    LetheError,
    NoAdapterError,
    NotFoundError,
    NotReadyError,
    OptionWithoutEffectError,
    PromptRequiredError,
    QueueUnavailableError,
    RetainSetRequiredError,
    StaleJobError,
    SubjectNotInPromptError,
    SubjectRequiredError,
    TooManyItemsError,
    UnauthenticatedError,
    UnknownBaseModelError,
    UnknownJobError,
    UnknownModuleError,
)


class HttpError(LetheError):
    """A refusal that only HTTP knows. ``headers`` go out with it."""

    def __init__(self, message: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        """Keep the sentence, and the headers that the status asks for."""
        super().__init__(message)
        self.headers = dict(headers or {})


class UnknownRouteError(HttpError):
    """No route has this path."""

    code: ClassVar[str] = "unknown_route"


class MethodNotAllowedError(HttpError):
    """The path exists, but not with this method."""

    code: ClassVar[str] = "method_not_allowed"


class NotAcceptableError(HttpError):
    """The client accepts none of the representations there are."""

    code: ClassVar[str] = "not_acceptable"


class BodyTooLargeError(HttpError):
    """The body is larger than this deployment reads."""

    code: ClassVar[str] = "body_too_large"


class UnsupportedMediaTypeError(HttpError):
    """The body is not announced as JSON, or is compressed."""

    code: ClassVar[str] = "unsupported_media_type"


class RangeNotSatisfiableError(HttpError):
    """The asked range is malformed or outside the file."""

    code: ClassVar[str] = "range_not_satisfiable"


class InvalidJsonError(HttpError):
    """The body is not one well-formed JSON value."""

    code: ClassVar[str] = "invalid_json"


class UnavailableError(HttpError):
    """A part that this request needs does not answer."""

    code: ClassVar[str] = "unavailable"


class InternalError(HttpError):
    """Something that nobody foresaw."""

    code: ClassVar[str] = "internal"


class InvalidFieldError(InvalidRequestError):
    """A field has a value that it cannot have."""

    code: ClassVar[str] = "invalid_field"


class MissingFieldError(InvalidRequestError):
    """A required field is absent."""

    code: ClassVar[str] = "missing_field"


class UnknownFieldError(InvalidRequestError):
    """An object has a field that is not in the contract."""

    code: ClassVar[str] = "unknown_field"


class EmptyTextError(InvalidRequestError):
    """A text holds no visible character."""

    code: ClassVar[str] = "empty_text"


class InvalidTextError(InvalidRequestError):
    """A text holds a character that cannot be stored."""

    code: ClassVar[str] = "invalid_text"


class UnknownMethodError(InvalidRequestError):
    """The request names an unlearning method that does not exist."""

    code: ClassVar[str] = "unknown_method"


class UnknownOptionError(InvalidRequestError):
    """The method has no option of this name."""

    code: ClassVar[str] = "unknown_option"


class InvalidCursorError(InvalidRequestError):
    """The cursor of a list names nothing in it."""

    code: ClassVar[str] = "invalid_cursor"


@dataclass(frozen=True)
class ProblemKind:
    """How one class of errors looks over HTTP, and what its page says."""

    status: int
    title: str
    remedy: str
    retryable: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


_LATER = {"Retry-After": "5"}

PROBLEMS: dict[type[LetheError], ProblemKind] = {
    InvalidJsonError: ProblemKind(
        400, "The body is not valid JSON", "Send one JSON object in UTF-8 that names each key once."
    ),
    UnauthenticatedError: ProblemKind(
        401,
        "No valid API key",
        "Send `Authorization: Bearer <api key>` with a key of this deployment.",
        headers={"WWW-Authenticate": 'Bearer realm="lethe"'},
    ),
    NotFoundError: ProblemKind(404, "Not found", "Check the id: nothing with this id belongs to your tenant."),
    UnknownRouteError: ProblemKind(404, "No such route", "Check the path; /openapi.json lists every route."),
    MethodNotAllowedError: ProblemKind(
        405, "Method not allowed", "Use one of the methods that the Allow header lists."
    ),
    NotAcceptableError: ProblemKind(
        406, "No acceptable representation", "Accept one of the media types that the route offers."
    ),
    ConflictError: ProblemKind(409, "Conflict", "Read the resource again: its present state does not allow this."),
    IllegalTransitionError: ProblemKind(
        409, "The job has ended", "Nothing is to be done: a job that has succeeded or failed cannot be stopped."
    ),
    NotReadyError: ProblemKind(
        409, "Not ready", "Follow the job until its status is `succeeded`; only then do its files exist."
    ),
    AlreadyExistsError: ProblemKind(409, "Already exists", "Choose another id, or use what exists."),
    BodyTooLargeError: ProblemKind(413, "The body is too large", "Split the request into several."),
    UnsupportedMediaTypeError: ProblemKind(
        415, "Unsupported media type", "Send JSON in UTF-8 with `Content-Type: application/json`, not compressed."
    ),
    RangeNotSatisfiableError: ProblemKind(
        416, "Range not satisfiable", "Ask for a range within the size that Content-Range states."
    ),
    InvalidRequestError: ProblemKind(422, "Invalid request", "Mend the field that `param` points to."),
    InvalidFieldError: ProblemKind(422, "Invalid field", "Mend the field that `param` points to."),
    MissingFieldError: ProblemKind(422, "Missing field", "Add the field that `param` points to."),
    UnknownFieldError: ProblemKind(422, "Unknown field", "Leave out what is not in the contract."),
    EmptyTextError: ProblemKind(422, "Empty text", "Send a text with something in it, or leave the item out."),
    InvalidTextError: ProblemKind(
        422, "Text that cannot be stored", "Remove NUL characters and unpaired surrogates from the text."
    ),
    UnknownMethodError: ProblemKind(422, "Unknown method", "Name one of the methods of GET /v1/base-models."),
    UnknownOptionError: ProblemKind(422, "Unknown option", "Leave out the option, or mend its name."),
    InvalidCursorError: ProblemKind(422, "Invalid cursor", "Pass the `last_id` of the page before."),
    DuplicateItemError: ProblemKind(422, "Duplicate item", "Send each item once."),
    ForgetRetainOverlapError: ProblemKind(
        422, "An item to forget and to retain", "Leave the item in one of the two sets."
    ),
    ItemTooShortError: ProblemKind(422, "Item too short", "Send a longer text, or a prompt with a completion."),
    ItemTooLongError: ProblemKind(422, "Item too long", "Split the item; GET /v1/base-models states the limits."),
    TooManyItemsError: ProblemKind(422, "Too many items", "Split the request; GET /v1/base-models states the limits."),
    UnknownBaseModelError: ProblemKind(422, "Unknown base model", "Name one of GET /v1/base-models."),
    UnknownJobError: ProblemKind(422, "Unknown job", "Name one of your jobs of GET /v1/jobs, or leave `job_id` out."),
    JobNotSucceededError: ProblemKind(
        422, "The job has not succeeded", "Name a job whose status is `succeeded`, or leave `job_id` out."
    ),
    JobWithoutAdapterError: ProblemKind(
        422,
        "The job needed no adapter",
        "Leave `job_id` out: the base model serves as it is, for it did not know the texts of that job.",
    ),
    BaseModelMismatchError: ProblemKind(
        422, "An adapter of another base model", "Name a job on the same base model, or leave `job_id` out."
    ),
    RetainSetRequiredError: ProblemKind(
        422, "Texts to retain are needed", "Send `retain`, or have the base model registered with a retain set."
    ),
    GeneralCorpusRequiredError: ProblemKind(
        422,
        "General corpus required",
        "The method keeps on a general corpus, and the base model has none registered. Choose another `retain_corpus`, "
        "or let the base model write its own texts with `self_generated`.",
    ),
    HoldoutSetRequiredError: ProblemKind(
        422, "A holdout set is needed", "Have the base model registered with a holdout set, or choose another `policy`."
    ),
    UnknownModuleError: ProblemKind(
        422,
        "Unknown module",
        "Name linear layers of the base model in `target_modules`, as `detail` lists them, or leave it out.",
    ),
    LayerOutOfRangeError: ProblemKind(
        422, "Layer out of range", "Name a decoder layer within the range that `detail` states, or leave it out."
    ),
    PromptRequiredError: ProblemKind(
        422, "The method needs prompts", "Send a prompt and a completion for each item, or choose another method."
    ),
    SubjectRequiredError: ProblemKind(
        422, "The method needs subjects", "Send a subject with each prompt and completion, or choose another method."
    ),
    SubjectNotInPromptError: ProblemKind(
        422, "The subject is not in the prompt", "Write the subject in the prompt exactly as `subject` names it."
    ),
    OptionWithoutEffectError: ProblemKind(
        422, "An option without effect", "Leave out the option, or set what `detail` names with it."
    ),
    DoesNotFitError: ProblemKind(
        422,
        "No worker has the memory",
        "Lower `batch_size` or `r`, split long items, or have a worker with more memory started: `detail` says how "
        "much the job needs and how much there is.",
    ),
    NoAdapterError: ProblemKind(
        404, "No adapter was needed", "Read the report: the base model serves as it is, for it does not know the texts."
    ),
    LetheError: ProblemKind(500, "Internal error", "Report the request id to whoever runs this deployment."),
    InternalError: ProblemKind(500, "Internal error", "Report the request id to whoever runs this deployment."),
    ArtifactMissingError: ProblemKind(
        500, "A stored file is missing", "Report the request id: the store has lost a file that the database names."
    ),
    StaleJobError: ProblemKind(503, "Try again", "The job changed meanwhile: repeat the request.", True, _LATER),
    LeaseLostError: ProblemKind(503, "Try again", "The job changed meanwhile: repeat the request.", True, _LATER),
    QueueUnavailableError: ProblemKind(503, "The queue is unavailable", "Repeat the request later.", True, _LATER),
    UnavailableError: ProblemKind(
        503, "Temporarily unavailable", "Repeat the request later: a part of the service does not answer.", True, _LATER
    ),
}


def kind_of(error: type[LetheError]) -> ProblemKind:
    """Return the row of the nearest class in the table; its root is there, so there always is one."""
    return next(PROBLEMS[ancestor] for ancestor in error.__mro__ if ancestor in PROBLEMS)


def kinds_by_code() -> dict[str, ProblemKind]:
    """Return the table as clients know it. ``error``, the root's code, never leaves: it is sent as ``internal``."""
    return {error.code: kind for error, kind in PROBLEMS.items() if error is not LetheError}
