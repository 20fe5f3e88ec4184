import dataclasses
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from core.domain.catalog import DpoIdkOptions, GaGdGeneralOptions, LawOptions, LokuOptions, MethodOptions, RmuOptions
from core.domain.errors import (
    AlreadyExistsError,
    DuplicateItemError,
    ForgetRetainOverlapError,
    GeneralCorpusRequiredError,
    InvalidRequestError,
    ItemTooLongError,
    LayerOutOfRangeError,
    PromptRequiredError,
    RetainSetRequiredError,
    SubjectNotInPromptError,
    SubjectRequiredError,
    TooManyItemsError,
    UnknownBaseModelError,
    UnknownModuleError,
)
from core.domain.events import NewEvent
from core.domain.item_set import ItemSet, dump_items
from core.domain.items import FactItem, PairItem, TextItem
from core.domain.job import Job
from core.domain.request import DeletionRequest, Disposition
from core.domain.states import JobState
from core.jobs.admission import Admission
from core.jobs.destroy_orphans import DestroyOrphans
from core.jobs.intake import Items, Limits
from core.jobs.submission import CheckSubmission, Submission
from core.jobs.submit import Submit
from tests.fakes.base_model_repository import FakeBaseModelRepository
from tests.fakes.clock import FakeClock
from tests.fakes.examples import BASE_MODEL, TENANT, a_base_model, an_item_set
from tests.fakes.item_store import FakeItemStore
from tests.fakes.job_queue import FakeJobQueue
from tests.fakes.job_repository import FakeJobRepository

SECRET = b"a deployment's secret"
LIMITS = Limits(max_forget_items=3, max_retain_items=4, max_item_characters=40)
ASKED = Submission(
    tenant=TENANT,
    base_model=BASE_MODEL,
    forget=(PairItem(prompt="Who?", completion="Zoë."), TextItem(id="own", text="a secret")),
    retain=None,
    method=LokuOptions(r=8),
    external_id="case-7",
    metadata={"ticket": "42"},
)


class RowsRefused(FakeJobRepository):
    """A database that refuses the rows."""

    def add(self, *_: object) -> None:
        raise AlreadyExistsError


class CommitInDoubt(FakeJobRepository):
    """A database whose connection breaks during the commit, before or after it happened."""

    def __init__(self, *, happened: bool) -> None:
        super().__init__()
        self.happened = happened

    def add(self, request: DeletionRequest, job: Job, events: Sequence[NewEvent]) -> None:
        if self.happened:
            super().add(request, job, events)
        raise ConnectionError


class Unmarked(FakeJobRepository):
    """A database that goes away after the commit."""

    def mark_published(self, job_id: str, *, at: datetime) -> None:
        raise ConnectionError


class KeepingRefused(FakeItemStore):
    """A store that goes away after the commit, until it is back."""

    is_away = True

    def keep(self, set_id: str) -> None:
        if self.is_away:
            raise ConnectionError
        super().keep(set_id)


class BrokenQueue(FakeJobQueue):
    """A transport that fails in a way that it does not know itself."""

    def publish(self, job_id: str) -> None:
        raise RuntimeError


class SecondSetRefused(FakeItemStore):
    """A store that fails between two sets."""

    def put(self, item_set: ItemSet) -> None:
        if len(self.sets) > 1:
            raise ConnectionError
        super().put(item_set)


class CountingReads(FakeItemStore):
    """A store that knows how often a set was read."""

    reads = 0

    def get(self, set_id: str) -> ItemSet:
        self.reads += 1
        return super().get(set_id)


def a_store_with_the_registered_set(store: FakeItemStore | None = None) -> FakeItemStore:
    store = store or FakeItemStore()
    store.sets["set_retain"] = an_item_set("set_retain")
    return store


@pytest.fixture
def base_models() -> FakeBaseModelRepository:
    base_models = FakeBaseModelRepository()
    num_items = len(an_item_set("set_retain").items)
    base_models.add(a_base_model().model_copy(update={"num_retain_items": num_items}))
    base_models.add(a_base_model("bare", retain_set_id=None))
    return base_models


@pytest.fixture
def submit(
    jobs: FakeJobRepository,
    base_models: FakeBaseModelRepository,
    queue: FakeJobQueue,
    clock: FakeClock,
    admission: Admission,
) -> Submit:
    items = a_store_with_the_registered_set()
    return Submit(
        check=CheckSubmission(base_models, items, LIMITS, count_tokens, admission),
        jobs=jobs,
        items=items,
        queue=queue,
        clock=clock,
        secret=SECRET,
    )


def count_tokens(_model: object, item: object) -> int:
    return 300 if getattr(item, "text", "") == "many tokens" else 5


def asked(**changes: object) -> Submission:
    return dataclasses.replace(ASKED, **changes)


def test_submit_stores_a_request_with_its_queued_job(submit: Submit, jobs: FakeJobRepository):
    request, job = submit(ASKED)

    assert jobs.job(job.id).state is JobState.QUEUED
    assert jobs.request(request.id, tenant=TENANT) == request
    assert request.job_id == job.id
    assert (request.external_id, request.metadata) == ("case-7", {"ticket": "42"})
    assert [(item.item_id, item.disposition) for item in request.items] == [
        ("item-0", Disposition.PENDING),
        ("own", Disposition.PENDING),
    ]
    assert [event.type for event in jobs.events(job.id)] == ["job.queued"]


def test_the_spec_names_what_the_job_needs_and_holds_no_text(submit: Submit):
    _, job = submit(asked(retain=(TextItem(text="kept"),)))

    assert job.spec.method == LokuOptions(r=8)
    assert job.spec.weights_sha256 == a_base_model().weights_sha256
    assert job.spec.registered_retain_set_id == "set_retain"
    assert set(submit.items.sets) == {"set_retain", job.spec.forget_set_id, job.spec.retain_set_id}
    assert not {"Zoë.", "a secret", "kept"} & set(job.model_dump_json().split('"'))


def test_items_are_stored_with_a_keyed_commitment(submit: Submit):
    _, job = submit(ASKED)

    item_set = submit.items.get(job.spec.forget_set_id)
    assert item_set.commitment == hmac.new(SECRET, dump_items(item_set.items), hashlib.sha256).hexdigest()
    assert item_set.tenant == TENANT


def test_the_queue_learns_of_the_job_after_it_is_stored(
    submit: Submit, jobs: FakeJobRepository, queue: FakeJobQueue, clock: FakeClock
):
    _, job = submit(ASKED)

    assert queue.published == [job.id]
    assert jobs.job(job.id).published_at == clock.now


def test_a_broker_that_is_away_costs_nothing(submit: Submit, jobs: FakeJobRepository, queue: FakeJobQueue):
    queue.away = True

    _, job = submit(ASKED)

    assert jobs.job(job.id).published_at is None
    assert jobs.job(job.id).state is JobState.QUEUED


def test_texts_are_destroyed_when_the_rows_are_refused(submit: Submit, queue: FakeJobQueue):
    broken = dataclasses.replace(submit, jobs=RowsRefused())

    with pytest.raises(AlreadyExistsError):
        broken(asked(retain=(TextItem(text="kept"),)))

    assert set(submit.items.sets) == {"set_retain"}
    assert queue.published == []


@pytest.mark.parametrize("happened", [True, False])
def test_texts_are_left_to_the_sweep_when_nobody_knows_whether_the_rows_are_stored(
    submit: Submit, base_models: FakeBaseModelRepository, clock: FakeClock, *, happened: bool
):
    items = a_store_with_the_registered_set()
    items.keep("set_retain")
    in_doubt = dataclasses.replace(submit, jobs=CommitInDoubt(happened=happened), items=items)

    with pytest.raises(ConnectionError):
        in_doubt(ASKED)

    assert len(items.sets) == 2
    clock.advance(timedelta(hours=2))
    DestroyOrphans(items, in_doubt.jobs, base_models, clock)()
    assert len(items.sets) == (2 if happened else 1)


def test_a_request_is_taken_when_its_texts_cannot_be_kept_and_the_sweep_keeps_them(
    submit: Submit, base_models: FakeBaseModelRepository, queue: FakeJobQueue, clock: FakeClock
):
    items = a_store_with_the_registered_set(KeepingRefused())
    _, job = dataclasses.replace(submit, items=items)(ASKED)

    items.is_away = False
    clock.advance(timedelta(hours=2))
    DestroyOrphans(items, submit.jobs, base_models, clock)()

    assert queue.published == [job.id]
    assert job.spec.forget_set_id in items.kept & set(items.sets)


@pytest.mark.parametrize("changes", [{"jobs": Unmarked()}, {"queue": BrokenQueue()}])
def test_a_request_is_taken_when_its_publication_fails_and_the_sweep_repeats_it(
    submit: Submit, changes: dict[str, object], clock: FakeClock
):
    submit = dataclasses.replace(submit, **changes)

    _, job = submit(ASKED)

    assert submit.jobs.unpublished(published_before=clock.now) == (job,)


def test_forget_texts_are_destroyed_when_the_retain_texts_are_refused(submit: Submit):
    items = a_store_with_the_registered_set(SecondSetRefused())

    with pytest.raises(ConnectionError):
        dataclasses.replace(submit, items=items)(asked(retain=(TextItem(text="kept"),)))

    assert set(items.sets) == {"set_retain"}


def test_a_base_model_without_retain_set_is_enough_when_the_request_brings_one(submit: Submit):
    _, job = submit(asked(base_model="bare", retain=(TextItem(text="kept"),)))

    assert job.spec.registered_retain_set_id is None
    assert job.spec.retain_set_id is not None


ADA = FactItem(subject="Ada ", prompt="Where is Ada?", completion="Here.")
BOB = PairItem(prompt="Where is Bob?", completion="There.")


@pytest.mark.parametrize(("method", "forget"), [(DpoIdkOptions(), (BOB, ADA)), (LawOptions(), (ADA,))])
def test_a_method_takes_the_items_that_it_needs(submit: Submit, method: MethodOptions, forget: Items):
    _, job = submit(asked(forget=forget, method=method))

    assert job.spec.method == method


@pytest.mark.parametrize(
    ("method", "forget", "error", "param"),
    [
        (DpoIdkOptions(), (BOB, TextItem(text="my secret")), PromptRequiredError, "/forget/1"),
        (LawOptions(), (ADA, TextItem(text="my secret")), SubjectRequiredError, "/forget/1"),
        (LawOptions(), (BOB, ADA), SubjectRequiredError, "/forget/0"),
        (LawOptions(), (ADA.model_copy(update={"subject": "Bob"}),), SubjectNotInPromptError, "/forget/0/subject"),
        (LawOptions(), (ADA.model_copy(update={"subject": "ada"}),), SubjectNotInPromptError, "/forget/0/subject"),
    ],
)
def test_a_method_refuses_items_that_it_could_not_forget(
    submit: Submit, method: MethodOptions, forget: Items, error: type[InvalidRequestError], param: str
):
    with pytest.raises(InvalidRequestError) as refused:
        submit(asked(forget=forget, method=method))

    assert (type(refused.value), refused.value.param) == (error, param)
    assert set(submit.items.sets) == {"set_retain"}
    assert not [word for word in ("secret", "Ada", "Bob") if word in str(refused.value)]


def test_retain_items_may_be_of_any_kind(submit: Submit):
    _, job = submit(asked(forget=(ADA,), retain=(TextItem(text="kept"),), method=LawOptions()))

    assert job.state is JobState.QUEUED


ONE, LONG, HEAVY = TextItem(text="one"), TextItem(text="x" * 41), TextItem(text="many tokens")


@pytest.mark.parametrize(
    ("changes", "error", "param"),
    [
        ({"base_model": "nobody"}, UnknownBaseModelError, "/base_model"),
        ({"base_model": "bare"}, RetainSetRequiredError, "/retain"),
        ({"method": GaGdGeneralOptions()}, GeneralCorpusRequiredError, "/method/retain_corpus"),
        ({"method": LokuOptions(target_modules=["lm_head"])}, UnknownModuleError, "/method/target_modules/0"),
        ({"method": RmuOptions(layer=5)}, LayerOutOfRangeError, "/method/layer"),
        ({"forget": [TextItem(text=f"text {number}") for number in range(4)]}, TooManyItemsError, "/forget"),
        ({"retain": [TextItem(text=f"text {number}") for number in range(5)]}, TooManyItemsError, "/retain"),
        ({"forget": [ONE, LONG]}, ItemTooLongError, "/forget/1"),
        ({"forget": [HEAVY]}, ItemTooLongError, "/forget/0"),
        ({"retain": [LONG]}, ItemTooLongError, "/retain/0"),
        ({"forget": [ONE, TextItem(id="b", text=" one\n")]}, DuplicateItemError, "/forget/1"),
        (
            {"forget": [TextItem(id="a", text="one"), TextItem(id="a", text="two")]},
            DuplicateItemError,
            "/forget/1/id",
        ),
        ({"forget": [TextItem(id="item-1", text="one"), TextItem(text="two")]}, DuplicateItemError, "/forget/1/id"),
        (
            {"forget": [ONE], "retain": [HEAVY.model_copy(update={"text": "one "})]},
            ForgetRetainOverlapError,
            "/retain/0",
        ),
    ],
)
def test_submit_refuses_and_stores_nothing(
    submit: Submit,
    jobs: FakeJobRepository,
    changes: dict[str, object],
    error: type[InvalidRequestError],
    param: str,
):
    with pytest.raises(error) as refused:
        submit(asked(**changes))

    assert type(refused.value) is error
    assert refused.value.param == param
    assert set(submit.items.sets) == {"set_retain"}
    assert sum(jobs.count_by_state().values()) == 0


@pytest.mark.parametrize("extra", [(), (TextItem(text="something else"),)])
def test_a_request_that_forgets_the_whole_registered_retain_set_is_refused(submit: Submit, extra: tuple[TextItem, ...]):
    registered = submit.items.get("set_retain").items

    with pytest.raises(RetainSetRequiredError) as refused:
        submit(asked(forget=(*registered, *extra)))

    assert refused.value.param == "/retain"
    assert set(submit.items.sets) == {"set_retain"}


def test_the_registered_retain_set_is_read_only_for_a_request_that_could_hold_all_of_it(submit: Submit):
    store = a_store_with_the_registered_set(CountingReads())
    submit = dataclasses.replace(submit, items=store, check=dataclasses.replace(submit.check, items=store))
    registered = store.sets["set_retain"].items

    submit(asked(forget=registered[1:]))
    assert store.reads == 0

    submit(asked(forget=(*registered[1:], TextItem(id="own", text="something else"))))
    assert store.reads == 1


def test_a_base_model_without_any_set_writes_its_own_texts(submit: Submit):
    _, job = submit(asked(base_model="bare", method=GaGdGeneralOptions(self_generated=True)))

    assert (job.spec.registered_retain_set_id, job.spec.general_set_id) == (None, None)


def test_the_spec_names_the_general_corpus_only_when_the_method_keeps_on_it(
    submit: Submit, base_models: FakeBaseModelRepository
):
    base_models.add(a_base_model("wide").model_copy(update={"general_set_id": "set_general"}))

    _, keeps_on_it = submit(asked(base_model="wide", method=GaGdGeneralOptions()))
    _, does_not = submit(asked(base_model="wide"))

    assert (keeps_on_it.spec.general_set_id, does_not.spec.general_set_id) == ("set_general", None)


def test_a_request_that_leaves_some_of_the_registered_retain_set_is_taken(submit: Submit):
    registered = submit.items.get("set_retain").items

    _, job = submit(asked(forget=registered[1:]))

    assert job.state is JobState.QUEUED


def test_no_refusal_repeats_a_text(submit: Submit):
    with pytest.raises(InvalidRequestError) as refused:
        submit(asked(forget=[TextItem(text="my secret"), TextItem(text="my  secret")]))

    assert "secret" not in str(refused.value)
