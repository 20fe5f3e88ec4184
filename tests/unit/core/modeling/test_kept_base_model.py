import os

import pytest
import torch

from core.domain.errors import BaseModelChangedError
from core.modeling.base_model import weights_digest
from core.modeling.kept_base_model import KeptBaseModel
from tests.fakes.tiny_models import byte_tokenizer, tiny_model

CPU = torch.device("cpu")


@pytest.fixture
def directory(tmp_path):
    tiny_model("gpt_neo").save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def load(directory):
    """Loads from the directory by the digest that it has at the start."""
    kept, registered = KeptBaseModel(), weights_digest(directory)
    return lambda path=directory, digest=registered: kept(path, device=CPU, expected_sha256=digest)


def test_second_job_gets_the_model_of_the_first_and_a_tokenizer_of_its_own(load):
    first, second = load(), load()

    assert second.model is first.model
    assert second.tokenizer is not first.tokenizer
    assert second.tokenizer("as it was").input_ids == first.tokenizer("as it was").input_ids


def test_other_base_model_is_loaded(load, directory, tmp_path):
    first = load()
    other = tmp_path / "other"
    tiny_model("gpt_neo", seed=1).save_pretrained(other)
    byte_tokenizer().save_pretrained(other)

    second = load(other, weights_digest(other))

    assert second.model is not first.model
    assert not torch.equal(second.model.lm_head.weight, first.model.lm_head.weight)


def test_other_weights_in_the_same_place_are_refused(load, directory):
    load()
    tiny_model("gpt_neo", seed=1).save_pretrained(directory)

    with pytest.raises(BaseModelChangedError):
        load()


def test_files_that_were_written_again_are_read_again(load, directory):
    first = load()
    os.utime(directory / "config.json", ns=(1, 1))

    assert load().model is not first.model


def test_nothing_has_changed_where_nothing_was_loaded():
    assert KeptBaseModel().changes() == []


def test_model_has_the_changes_that_were_made_to_it(directory):
    kept = KeptBaseModel()
    base = kept(directory, device=CPU, expected_sha256=weights_digest(directory))

    assert kept.changes() == []
    base.model.lm_head.train()
    assert kept.changes() == ["module lm_head"]
