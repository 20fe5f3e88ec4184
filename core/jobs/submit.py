from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from core.domain.base_model import RegisteredBaseModel
from core.domain.catalog import MethodOptions
from core.domain.errors import (
    ForgetRetainOverlapError,
    GeneralCorpusRequiredError,
    HoldoutSetRequiredError,
    PromptRequiredError,
    RetainSetRequiredError,
    SubjectNotInPromptError,
    SubjectRequiredError,
)
from core.domain.events import EventType, NewEvent
from core.domain.identifiers import new_id
from core.domain.item_set import ItemSet
from core.domain.items import FactItem, TextItem, normalized, subject_end
from core.domain.job import Job
from core.domain.options import TrainedOptions
from core.domain.policy import DEFAULT_POLICY, PolicyName, current
from core.domain.request import DeletionRequest, ItemDisposition
from core.domain.spec import JobSpec
from core.jobs.idle_options import refuse_idle_options
from core.jobs.intake import CountTokens, ItemCheck, Items, Limits, named_base_model, new_item_set, stored_with_row
from core.jobs.missing_parts import refuse_missing_parts
from core.ports import BaseModelRepository, Clock, ItemStore, JobQueue, JobRepository

log = structlog.get_logger(__name__)


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
    policy: PolicyName = DEFAULT_POLICY


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
        base_model = named_base_model(self.base_models, submission.base_model)
        check = ItemCheck(base_model, self.limits.max_item_characters, self.count_tokens)
        check("/forget", submission.forget, max_items=self.limits.max_forget_items)
        _refuse_unfit(submission.forget, submission.method)
        refuse_idle_options(submission.method)
        refuse_missing_parts(submission.method, base_model)
        if submission.retain is not None:
            check("/retain", submission.retain, max_items=self.limits.max_retain_items)
            _refuse_overlap(submission.forget, submission.retain)
        elif base_model.retain_set_id is not None:
            # Reading ten thousand texts takes half a second, and a smaller request does not hold them all. If it does,
            # since the set repeats its texts, the worker refuses it.
            if len(submission.forget) >= base_model.num_retain_items:
                _refuse_empty_retain(submission.forget, self.items.get(base_model.retain_set_id).items)
        elif not submission.method.self_generated:
            raise RetainSetRequiredError(
                f"method {submission.method.name} needs texts to retain: send `retain`, register the base model with a "
                "retain set, or set `self_generated`",
                param="/retain",
            )
        _refuse_without_holdout(submission.policy, base_model)
        general_set_id = _general_set_id(submission.method, base_model)
        request_id = new_id("dr")
        forget = self._item_set(submission.tenant, request_id, submission.forget)
        retain = None if submission.retain is None else self._item_set(submission.tenant, request_id, submission.retain)
        item_sets = [item_set for item_set in (forget, retain) if item_set is not None]
        request, job = stored_with_row(
            item_sets, self.items, lambda: self._add(submission, base_model, forget, retain, general_set_id)
        )
        self._keep(job.id, item_sets)
        publish(job.id, jobs=self.jobs, queue=self.queue, clock=self.clock)
        return request, job

    def _keep(self, job_id: str, item_sets: Sequence[ItemSet]) -> None:
        try:
            for item_set in item_sets:
                self.items.keep(item_set.id)
        except Exception as outage:  # noqa: BLE001  # a request that is stored must not be answered as if it were not
            log.warning("the sweep will keep the texts", job_id=job_id, error=type(outage).__qualname__)

    def _item_set(self, tenant: str, request_id: str, items: Items) -> ItemSet:
        return new_item_set(items, tenant=tenant, owner=request_id, secret=self.secret, now=self.clock())

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
                policy=current(submission.policy).name,
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


def _refuse_without_holdout(policy: PolicyName, base_model: RegisteredBaseModel) -> None:
    if current(policy).needs_holdout and base_model.holdout_set_id is None:
        raise HoldoutSetRequiredError(
            f"policy {policy} compares with texts that the base model never saw, and none are registered: register the "
            "base model with a holdout set, or choose another policy",
            param="/policy",
        )


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
