from dataclasses import dataclass

from core.domain.base_model import RegisteredBaseModel
from core.domain.catalog import MethodOptions
from core.domain.errors import (
    ForgetRetainOverlapError,
    GeneralCorpusRequiredError,
    PromptRequiredError,
    RetainSetRequiredError,
    SubjectNotInPromptError,
    SubjectRequiredError,
)
from core.domain.items import FactItem, TextItem, normalized, subject_end
from core.domain.options import TrainedOptions
from core.domain.policy import DEFAULT_POLICY, PolicyName, current
from core.domain.workload import Workload
from core.jobs.admission import Admission
from core.jobs.idle_options import refuse_idle_options
from core.jobs.intake import CountTokens, ItemCheck, Items, Limits, named_base_model, refuse_without_holdout
from core.jobs.missing_parts import refuse_missing_parts
from core.jobs.plan import workload_of
from core.ports import BaseModelRepository, ItemStore


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
class Checked:
    """What was found while a submission was checked."""

    base_model: RegisteredBaseModel
    general_set_id: str | None
    workload: Workload | None  # None: the base model was registered before anybody counted its sets


@dataclass(frozen=True)
class CheckSubmission:
    """Refuses what no job could do as asked."""

    base_models: BaseModelRepository
    items: ItemStore
    limits: Limits
    count_tokens: CountTokens
    admission: Admission

    def __call__(self, submission: Submission) -> Checked:
        """Return what was found; nothing is stored.

        Raises:
            InvalidRequestError: one of its subclasses, naming the field.
        """
        base_model = named_base_model(self.base_models, submission.base_model)
        check = ItemCheck(base_model, self.limits.max_item_characters, self.count_tokens)
        forget = check("/forget", submission.forget, max_items=self.limits.max_forget_items)
        _refuse_unfit(submission.forget, submission.method)
        refuse_idle_options(submission.method)
        refuse_missing_parts(submission.method, base_model)
        retain = None
        if submission.retain is not None:
            retain = check("/retain", submission.retain, max_items=self.limits.max_retain_items)
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
        refuse_without_holdout(submission.policy, base_model)
        general_set_id = _general_set_id(submission.method, base_model)
        workload = workload_of(submission.method, current(submission.policy), base_model, forget, retain)
        if workload is not None:
            self.admission(workload, base_model.weights_sha256)
        return Checked(base_model, general_set_id, workload)


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
