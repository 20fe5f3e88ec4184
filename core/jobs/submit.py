import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from core.domain.base_model import RegisteredBaseModel
from core.domain.catalog import MethodOptions
from core.domain.errors import (
    DuplicateItemError,
    ForgetRetainOverlapError,
    GeneralCorpusRequiredError,
    ItemTooLongError,
    ItemTooShortError,
    LetheError,
    NotFoundError,
    PromptRequiredError,
    RetainSetRequiredError,
    SubjectNotInPromptError,
    SubjectRequiredError,
    TooManyItemsError,
    UnknownBaseModelError,
)
from core.domain.events import EventType, NewEvent
from core.domain.identifiers import new_id
from core.domain.item_set import ItemSet, dump_items, with_ids
from core.domain.items import FactItem, PairItem, TextItem, characters, normalized, subject_end, wordings
from core.domain.job import Job
from core.domain.options import TrainedOptions
from core.domain.policy import DEFAULT_POLICY
from core.domain.request import DeletionRequest, ItemDisposition
from core.domain.spec import JobSpec
from core.jobs.idle_options import refuse_idle_options
from core.jobs.missing_parts import refuse_missing_parts
from core.ports import BaseModelRepository, Clock, ItemStore, JobQueue, JobRepository

Items = Sequence[TextItem | PairItem | FactItem]
CountTokens = Callable[[RegisteredBaseModel, TextItem | PairItem | FactItem], int]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """How much one request may hold."""

    max_forget_items: int
    max_retain_items: int
    max_item_characters: int


@dataclass(frozen=True)
class Submission:
    """What one client asks for, already well-formed."""

    tenant: str
    base_model: str
    forget: Items
    retain: Items | None
    method: MethodOptions
    external_id: str | None
    metadata: dict[str, str]


@dataclass(frozen=True)
class Submit:
    """Takes a deletion request in: checks it, stores it with its job, and tells the queue after the commit."""

    jobs: JobRepository
    base_models: BaseModelRepository
    items: ItemStore
    queue: JobQueue
    clock: Clock
    limits: Limits
    count_tokens: CountTokens
    secret: bytes

    def __call__(self, submission: Submission) -> tuple[DeletionRequest, Job]:
        """Return the stored request and its queued job.

        The texts are stored first and apart; should the row not follow, they are destroyed again, by the sweep if
        this process dies in between or cannot know whether the row followed. Once it has, the request is taken, and
        an outage loses nothing: the sweep keeps the texts and publishes the job.

        Raises:
            InvalidRequestError: one of its subclasses, naming the field; nothing was stored.
        """
        base_model = self._base_model(submission)
        self._check("/forget", submission.forget, self.limits.max_forget_items, base_model)
        _refuse_unfit(submission.forget, submission.method)
        refuse_idle_options(submission.method)
        refuse_missing_parts(submission.method, base_model)
        if submission.retain is not None:
            self._check("/retain", submission.retain, self.limits.max_retain_items, base_model)
            _refuse_overlap(submission.forget, submission.retain)
        elif base_model.retain_set_id is not None:
            _refuse_empty_retain(submission.forget, self.items.get(base_model.retain_set_id).items)
        elif not submission.method.self_generated:
            raise RetainSetRequiredError(
                f"method {submission.method.name} needs texts to retain: send `retain`, register the base model with a "
                "retain set, or set `self_generated`",
                param="/retain",
            )
        general_set_id = _general_set_id(submission.method, base_model)
        request_id = new_id("dr")
        forget = self._item_set(submission.tenant, request_id, submission.forget)
        retain = None if submission.retain is None else self._item_set(submission.tenant, request_id, submission.retain)
        item_sets = [item_set for item_set in (forget, retain) if item_set is not None]
        try:
            for item_set in item_sets:
                self.items.put(item_set)
        except BaseException:
            self._destroy(item_sets)
            raise
        try:
            request, job = self._add(submission, base_model, forget, retain, general_set_id)
        except LetheError:
            self._destroy(item_sets)
            raise
        # Anything else leaves the texts to DestroyOrphans, which asks for their owner: a connection that breaks during
        # the commit does not tell whether it happened, and a stored job must not lose its texts.
        self._keep(job.id, item_sets)
        publish(job.id, jobs=self.jobs, queue=self.queue, clock=self.clock)
        return request, job

    def _destroy(self, item_sets: Sequence[ItemSet]) -> None:
        for item_set in item_sets:
            self.items.destroy(item_set.id)

    def _keep(self, job_id: str, item_sets: Sequence[ItemSet]) -> None:
        try:
            for item_set in item_sets:
                self.items.keep(item_set.id)
        except Exception as outage:  # noqa: BLE001  # a request that is stored must not be answered as if it were not
            log.warning("the sweep will keep the texts", job_id=job_id, error=type(outage).__qualname__)

    def _base_model(self, submission: Submission) -> RegisteredBaseModel:
        try:
            return self.base_models.get(submission.base_model)
        except NotFoundError as missing:
            raise UnknownBaseModelError(
                "no base model is registered under this id; GET /v1/base-models lists those that are",
                param="/base_model",
            ) from missing

    def _check(self, param: str, items: Items, max_items: int, base_model: RegisteredBaseModel) -> None:
        if len(items) > max_items:
            raise TooManyItemsError(f"{len(items)} items; at most {max_items} fit in one request", param=param)
        first_place: dict[str, int] = {}
        first_id: dict[str, int] = {}
        for place, item in enumerate(with_ids(items)):
            where = f"{param}/{place}"
            if characters(item) > self.limits.max_item_characters:
                raise ItemTooLongError(
                    f"{characters(item)} characters; at most {self.limits.max_item_characters}: split the item",
                    param=where,
                )
            tokens = self.count_tokens(base_model, item)
            longest = max([tokens, *(self.count_tokens(base_model, other) for other in wordings(item))])
            if longest > base_model.max_tokens:
                raise ItemTooLongError(
                    f"{longest} tokens; this base model reads at most {base_model.max_tokens}: split the item",
                    param=where,
                )
            if isinstance(item, TextItem) and tokens < 2:
                raise ItemTooShortError(
                    "one token has no context to be predicted from: send a longer text, or a prompt with a completion",
                    param=where,
                )
            if first_place.setdefault(normalized(item), place) != place:
                raise DuplicateItemError(
                    f"the same content as item {first_place[normalized(item)]}: send it once", param=where
                )
            if first_id.setdefault(item.id or "", place) != place:
                raise DuplicateItemError(f"the same id as item {first_id[item.id or '']}", param=f"{where}/id")

    def _item_set(self, tenant: str, request_id: str, items: Items) -> ItemSet:
        named = with_ids(items)
        return ItemSet(
            id=new_id("set"),
            tenant=tenant,
            owner=request_id,
            items=named,
            commitment=hmac.new(self.secret, dump_items(named), hashlib.sha256).hexdigest(),
            created_at=self.clock(),
        )

    def _add(
        self,
        submission: Submission,
        base_model: RegisteredBaseModel,
        forget: ItemSet,
        retain: ItemSet | None,
        general_set_id: str | None,
    ) -> tuple[DeletionRequest, Job]:
        now = self.clock()
        job = Job(
            id=new_id("job"),
            tenant=submission.tenant,
            spec=JobSpec(
                base_model=base_model.id,
                weights_sha256=base_model.weights_sha256,
                method=submission.method,
                policy=DEFAULT_POLICY,
                forget_set_id=forget.id,
                retain_set_id=retain.id if retain else None,
                holdout_set_id=base_model.holdout_set_id,
                registered_retain_set_id=base_model.retain_set_id,
                general_set_id=general_set_id,
            ),
            created_at=now,
        )
        request = DeletionRequest(
            id=forget.owner,
            tenant=submission.tenant,
            job_id=job.id,
            base_model=base_model.id,
            external_id=submission.external_id,
            metadata=submission.metadata,
            items=tuple(ItemDisposition(item_id=item.id or "") for item in forget.items),
            created_at=now,
        )
        queued = NewEvent(type=EventType.QUEUED, message="waiting for a worker", created_at=now)
        self.jobs.add(request, job, [queued])
        return request, job


def publish(job_id: str, *, jobs: JobRepository, queue: JobQueue, clock: Clock) -> None:
    """Tell the queue about a committed job, and note that it was told.

    No outage is an error, neither of the broker nor of the database: the sweep publishes the job again, and copies are
    harmless.
    """
    try:
        queue.publish(job_id)
        jobs.mark_published(job_id, at=clock())
    except Exception as outage:  # noqa: BLE001  # what follows a commit cannot undo it, whatever goes wrong
        log.warning("the sweep will publish the job", job_id=job_id, error=type(outage).__qualname__)


def _general_set_id(method: MethodOptions, base_model: RegisteredBaseModel) -> str | None:
    """Return the general corpus that the method keeps on, None if it keeps on another or on its own texts."""
    if not isinstance(method, TrainedOptions) or method.retain_corpus != "general":
        return None
    if base_model.general_set_id is None and not method.self_generated:
        raise GeneralCorpusRequiredError(
            f"method {method.name} keeps on a general corpus and the base model has none: register it with one, choose "
            "retain_corpus in_distribution, or set `self_generated`",
            param="/method/retain_corpus",
        )
    return base_model.general_set_id


def _refuse_unfit(forget: Items, method: MethodOptions) -> None:
    """Refuse forget items that lack what the method works on."""
    for place, item in enumerate(forget):
        where = f"/forget/{place}"
        if method.needs_items == "prompt" and isinstance(item, TextItem):
            raise PromptRequiredError(
                f"method {method.name} needs a prompt and its completion: split the text, or choose another method",
                param=where,
            )
        if method.needs_items == "subject" and not isinstance(item, FactItem):
            raise SubjectRequiredError(
                f"method {method.name} edits facts about a subject: send subject, prompt and completion, or choose "
                "another method",
                param=where,
            )
        if method.needs_items == "subject" and isinstance(item, FactItem) and subject_end(item) is None:
            raise SubjectNotInPromptError(
                "the subject does not occur in the prompt: write it there as it is named", param=f"{where}/subject"
            )


def _refuse_overlap(forget: Items, retain: Items) -> None:
    places = {normalized(item): place for place, item in enumerate(forget)}
    for place, item in enumerate(retain):
        if normalized(item) in places:
            raise ForgetRetainOverlapError(
                f"the same content as forget item {places[normalized(item)]}: forget it or retain it",
                param=f"/retain/{place}",
            )


def _refuse_empty_retain(forget: Items, registered: Items) -> None:
    """Refuse a request that forgets the whole registered retain set: its job would have nothing left to keep."""
    if {normalized(item) for item in registered} <= {normalized(item) for item in forget}:
        raise RetainSetRequiredError(
            "the base model's retain set holds nothing but items of this request: send other texts in `retain`",
            param="/retain",
        )
