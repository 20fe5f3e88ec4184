"""Everything Lethe refuses or fails with, as one tree.

LetheError
├── InvalidRequestError        the request itself is wrong; names the parameter and the remedy
│   ├── UnknownBaseModelError
│   ├── UnknownJobError
│   ├── JobNotSucceededError
│   ├── JobWithoutAdapterError
│   ├── BaseModelMismatchError
│   ├── RetainSetRequiredError
│   ├── GeneralCorpusRequiredError
│   ├── HoldoutSetRequiredError
│   ├── UnknownModuleError
│   ├── LayerOutOfRangeError
│   ├── PromptRequiredError
│   ├── SubjectRequiredError
│   ├── SubjectNotInPromptError
│   ├── OptionWithoutEffectError
│   └── DoesNotFitError
├── NotFoundError              no such thing for this tenant
├── ConflictError              right request, wrong moment
│   ├── IllegalTransitionError
│   └── NotReadyError
├── AlreadyExistsError
├── NoAdapterError
├── UnauthenticatedError
├── StaleJobError              a compare-and-swap lost its race; read again
├── LeaseLostError             another attempt owns the job now
├── ArtifactMissingError
├── QueueUnavailableError      the broker did not take the message; the sweep will
└── JobFailure                 a run that cannot succeed; its code and message are public
    ├── UnsupportedBaseModelError
    ├── BaseModelChangedError
    ├── EmptyBatchError
    ├── OutOfMemoryError
    ├── InsufficientMemoryError
    ├── DivergedError
    └── PackageMismatchError

No message holds a forget or retain text: a message leaves the process, a text never does.
"""

from typing import ClassVar


class LetheError(Exception):
    """Root of the tree. ``code`` is the stable word that clients branch on."""

    code: ClassVar[str] = "error"


class InvalidRequestError(LetheError):
    """A request that can never succeed as it stands."""

    code: ClassVar[str] = "invalid_request"

    def __init__(self, message: str, *, param: str) -> None:
        """Keep the JSON pointer of the field beside the sentence that says how to mend it."""
        super().__init__(message)
        self.param = param


class DuplicateItemError(InvalidRequestError):
    """Two items of one request are the same."""

    code: ClassVar[str] = "duplicate_item"


class ForgetRetainOverlapError(InvalidRequestError):
    """An item is asked to be forgotten and retained at once."""

    code: ClassVar[str] = "forget_retain_overlap"


class ItemTooLongError(InvalidRequestError):
    """An item exceeds the limit in characters or in tokens."""

    code: ClassVar[str] = "item_too_long"


class ItemTooShortError(InvalidRequestError):
    """An item holds nothing that a model could be asked for."""

    code: ClassVar[str] = "item_too_short"


class TooManyItemsError(InvalidRequestError):
    """More items than the deployment takes in one request."""

    code: ClassVar[str] = "too_many_items"


class UnknownBaseModelError(InvalidRequestError):
    """The request names a base model that is not registered."""

    code: ClassVar[str] = "unknown_base_model"


class UnknownJobError(InvalidRequestError):
    """The request names a job that does not exist, or belongs to another tenant: both look the same from outside."""

    code: ClassVar[str] = "unknown_job"


class JobNotSucceededError(InvalidRequestError):
    """The request names a job for its adapter, and the job has none: not yet, or it never will."""

    code: ClassVar[str] = "job_not_succeeded"


class JobWithoutAdapterError(InvalidRequestError):
    """The request names a job for its adapter, and the job trained nothing since no action was needed."""

    code: ClassVar[str] = "job_without_adapter"


class BaseModelMismatchError(InvalidRequestError):
    """The request names a job whose adapter belongs to another base model."""

    code: ClassVar[str] = "base_model_mismatch"


class RetainSetRequiredError(InvalidRequestError):
    """The method needs retain texts and neither the request nor the base model has any."""

    code: ClassVar[str] = "retain_set_required"


class GeneralCorpusRequiredError(InvalidRequestError):
    """The method keeps on a general corpus and the base model has none."""

    code: ClassVar[str] = "general_corpus_required"


class UnknownModuleError(InvalidRequestError):
    """The method is to adapt a module that is no linear layer of the base model."""

    code: ClassVar[str] = "unknown_module"


class LayerOutOfRangeError(InvalidRequestError):
    """The method is to work on a decoder layer that the base model does not have, or on which it cannot."""

    code: ClassVar[str] = "layer_out_of_range"


class HoldoutSetRequiredError(InvalidRequestError):
    """The policy compares with unseen texts and the base model has none."""

    code: ClassVar[str] = "holdout_set_required"


class PromptRequiredError(InvalidRequestError):
    """The method asks its forget items as prompts, and one of them has none."""

    code: ClassVar[str] = "prompt_required"


class SubjectRequiredError(InvalidRequestError):
    """The method edits facts about a subject, and a forget item names none."""

    code: ClassVar[str] = "subject_required"


class SubjectNotInPromptError(InvalidRequestError):
    """The subject that an item names is not in its prompt, so nobody knows where the model thinks of it."""

    code: ClassVar[str] = "subject_not_in_prompt"


class OptionWithoutEffectError(InvalidRequestError):
    """An option is set that the rest of the method does not read."""

    code: ClassVar[str] = "option_without_effect"


class DoesNotFitError(InvalidRequestError):
    """The job surely needs more memory than any living worker has."""

    code: ClassVar[str] = "does_not_fit"


class NotFoundError(LetheError):
    """The thing does not exist, or belongs to another tenant: both look the same from outside."""

    code: ClassVar[str] = "not_found"


class ConflictError(LetheError):
    """The request is right, but not in the present state of the thing it names."""

    code: ClassVar[str] = "conflict"


class IllegalTransitionError(ConflictError):
    """The transition table has no such edge."""

    code: ClassVar[str] = "illegal_transition"


class NotReadyError(ConflictError):
    """The artifact will exist only once the job has succeeded."""

    code: ClassVar[str] = "not_ready"


class AlreadyExistsError(LetheError):
    """A row with this identity exists already."""

    code: ClassVar[str] = "already_exists"


class NoAdapterError(LetheError):
    """The job trained nothing, since no action was needed: there is a report and no adapter."""

    code: ClassVar[str] = "no_adapter"


class UnauthenticatedError(LetheError):
    """No valid API key came with the request."""

    code: ClassVar[str] = "unauthenticated"


class StaleJobError(LetheError):
    """The job changed between reading and saving; read it again and decide anew."""

    code: ClassVar[str] = "stale_job"


class LeaseLostError(LetheError):
    """The fencing token is old: another attempt owns the job, or nobody does any more."""

    code: ClassVar[str] = "lease_lost"


class ArtifactMissingError(LetheError):
    """The store holds nothing under this key."""

    code: ClassVar[str] = "artifact_missing"


class QueueUnavailableError(LetheError):
    """The broker took no message. The job row is safe; the sweep publishes it later."""

    code: ClassVar[str] = "queue_unavailable"


class WorkerUnfitError(LetheError):
    """This machine lacks what its settings promise. Nothing is wrong with the job, which another worker may run."""

    code: ClassVar[str] = "worker_unfit"


class JobFailure(LetheError):  # noqa: N818  # the word of the domain: a job fails, a program errs
    """A run that would fail again the same way, so it is not retried. The message is shown to the client."""

    code: ClassVar[str] = "failed"


class UnsupportedBaseModelError(JobFailure):
    """The base model cannot be loaded, or is of a shape that the mathematics does not cover."""

    code: ClassVar[str] = "unsupported_base_model"


class BaseModelChangedError(JobFailure):
    """The weights on disk are not the weights that were registered."""

    code: ClassVar[str] = "base_model_changed"


class EmptyBatchError(JobFailure):
    """A mean over no token was asked for."""

    code: ClassVar[str] = "empty_batch"


class OutOfMemoryError(JobFailure):
    """The job needs more memory than its worker's device has; another attempt would need as much."""

    code: ClassVar[str] = "out_of_memory"


class InsufficientMemoryError(JobFailure):
    """The job surely needs more memory than its worker's device has, so it was not begun."""

    code: ClassVar[str] = "insufficient_memory"


class DivergedError(JobFailure):
    """Training left the region where its numbers mean anything."""

    code: ClassVar[str] = "diverged"


class PackageMismatchError(JobFailure):
    """The packaged adapter does not reproduce the trained model, so it is not delivered."""

    code: ClassVar[str] = "package_mismatch"
