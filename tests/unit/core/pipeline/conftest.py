from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from core.domain.base_model import RegisteredBaseModel, TextFormat
from core.domain.catalog import LokuOptions
from core.domain.item_set import ItemSet
from core.domain.items import PairItem
from core.domain.spec import JobSpec
from core.modeling.base_model import weights_digest
from core.pipeline.task import RunTask
from tests.fakes.tiny_models import byte_tokenizer, tiny_model

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def pairs(count: int, name: str) -> list[PairItem]:
    return [
        PairItem(id=f"{name}-{place}", prompt=f"{name}{place}?", completion=f" {name} says {place * 37 % 101}")
        for place in range(count)
    ]


def item_set(items, name: str) -> ItemSet:
    return ItemSet(
        id=f"set_{name}", tenant="acme", owner="dr_1", items=tuple(items), commitment=name * 8, created_at=NOW
    )


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def base_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("base")
    tiny_model("gpt_neo").save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


@pytest.fixture
def make_task(base_path, tmp_path) -> Callable[..., RunTask]:
    """Makes tasks on the tiny base model; what a test does not care about has small defaults."""

    def make(*, forget=None, retain=None, holdout=None, work="work", **options: object) -> RunTask:
        digest = weights_digest(base_path)
        holdout_set = None if holdout is None else item_set(holdout, "holdout")
        registered = RegisteredBaseModel(
            id="tiny",
            source=str(base_path),
            revision=None,
            weights_sha256=digest,
            architecture="GPTNeoForCausalLM",
            num_parameters=1,
            max_tokens=256,
            text_format=TextFormat(),
            tokenizer_key="tokenizers/tiny",
            retain_set_id="set_retain",
            holdout_set_id=holdout_set and holdout_set.id,
            num_retain_items=1,
            num_holdout_items=0,
            created_at=NOW,
        )
        spec = JobSpec(
            base_model="tiny",
            weights_sha256=digest,
            method=LokuOptions(**({"r": 4, "lora_alpha": 8, "batch_size": 4, "max_steps": 14} | options)),
            policy="standard-1",
            forget_set_id="set_forget",
            retain_set_id=None,
            holdout_set_id=holdout_set and holdout_set.id,
            registered_retain_set_id="set_retain",
        )
        return RunTask(
            job_id="job_1",
            spec=spec,
            base_model=registered,
            forget=item_set(forget or pairs(3, "f"), "forget"),
            retain=item_set(retain or pairs(24, "r"), "retain"),
            holdout=holdout_set,
            device="cpu",
            work_dir=tmp_path / work,
        )

    return make


def with_source(task: RunTask, path: Path) -> RunTask:
    return replace(task, base_model=task.base_model.model_copy(update={"source": str(path)}))
