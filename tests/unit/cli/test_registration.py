from dataclasses import replace
from datetime import timedelta

import pytest
from transformers import GPTNeoForCausalLM

from cli.composition import open_backends
from cli.errors import CommandError
from cli.registration import Registration, register
from core.data.corpus import ItemEncoder
from core.domain.errors import UnsupportedBaseModelError
from core.domain.items import PairItem, TextItem
from core.domain.sizes import SetSize
from tests.fakes.clock import START, FakeClock
from tests.fakes.examples import an_item
from tests.fakes.tiny_models import byte_tokenizer, tiny_model

RETAIN = [an_item(number) for number in range(3)]


@pytest.fixture
def directory(tmp_path):
    tiny_model("gpt_neo").save_pretrained(tmp_path / "model")
    byte_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def backends(tmp_path):
    return open_backends(tmp_path / "data")


def registration(source, *, holdout=()):
    return Registration(model_id="people/neo", source=str(source), revision=None, retain=RETAIN, holdout=holdout)


def test_registered_model_is_found_with_its_sets_and_its_tokenizer(directory, backends):
    register(registration(directory, holdout=[an_item(9)]), backends, now=START)

    model = backends.base_models.get("people/neo")
    assert (model.source, model.architecture) == (str(directory), "GPTNeoForCausalLM")
    assert (model.num_retain_items, model.num_holdout_items) == (3, 1)
    assert model.num_layers == 2
    assert "transformer.h.*.mlp.c_fc" in model.linear_names
    assert list(backends.items.get(model.retain_set_id).items) == RETAIN
    assert backends.store.exists(model.tokenizer_key)


def test_the_tokens_of_each_set_are_counted_as_jobs_will_read_them(directory, backends):
    holdout, general = PairItem(id="h", prompt="ab", completion="c"), TextItem(id="g", text="abcd")
    asked = replace(registration(directory, holdout=[holdout]), general=[general])

    model = register(asked, backends, now=START)

    encode = ItemEncoder(byte_tokenizer(), model.text_format, model.max_tokens)
    retain = [len(example.tokens) for example in encode(RETAIN)]
    assert model.sizes.retain == SetSize(num_items=3, num_tokens=sum(retain), longest=max(retain))
    assert model.sizes.holdout == SetSize.of([len(encode([holdout])[0].tokens)])
    assert model.sizes.general == SetSize.of([len(encode([general])[0].tokens)])
    assert backends.base_models.get("people/neo").sizes == model.sizes


def test_a_set_that_is_not_registered_has_no_size(directory, backends):
    assert register(registration(directory), backends, now=START).sizes.general is None


def test_sets_are_as_old_as_their_storing_and_not_as_the_download_before_it(directory, backends):
    stored_at = START + timedelta(hours=3)

    model = register(registration(directory), backends, now=START, clock=FakeClock(stored_at))

    assert backends.items.get(model.retain_set_id).created_at == stored_at


def test_taken_id_is_refused(directory, backends):
    register(registration(directory), backends, now=START)

    with pytest.raises(CommandError, match="registered already"):
        register(registration(directory), backends, now=START)


def test_item_that_no_job_could_read_is_refused(directory, backends):
    too_long = PairItem(id="long", prompt="p", completion="c" * 1000)

    with pytest.raises(UnsupportedBaseModelError):
        register(registration(directory, holdout=[too_long]), backends, now=START)

    assert backends.base_models.list().data == ()


def test_reference_model_is_registered_with_the_base_model(directory, backends):
    asked = replace(registration(directory), reference=str(directory))

    model = register(asked, backends, now=START)

    assert model.reference is not None
    assert (model.reference.source, model.reference.revision) == (str(directory), None)
    assert model.reference.weights_sha256 == model.weights_sha256
    assert backends.base_models.get("people/neo") == model


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"max_position_embeddings": 128}, "reads 128 tokens at most, fewer than the 256"),
        ({"vocab_size": 200}, "embeds 200 tokens, fewer than the 257"),
    ],
)
def test_reference_model_that_cannot_read_every_item_of_the_base_model_is_refused(
    directory, backends, tmp_path, changes, reason
):
    config = tiny_model("gpt_neo").config
    config.update(changes)
    GPTNeoForCausalLM(config).save_pretrained(tmp_path / "reference")
    byte_tokenizer().save_pretrained(tmp_path / "reference")

    with pytest.raises(CommandError, match=reason):
        register(replace(registration(directory), reference=str(tmp_path / "reference")), backends, now=START)

    assert backends.base_models.list().data == ()


def test_reference_model_needs_no_more_embeddings_than_a_base_model_that_lacks_some_itself(backends, tmp_path):
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["<never-used>"])
    tiny_model("gpt_neo").save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    asked = replace(registration(tmp_path / "model"), reference=str(tmp_path / "model"))

    assert register(asked, backends, now=START).reference is not None


def test_reference_model_with_other_tokens_is_refused(directory, backends, tmp_path):
    other = byte_tokenizer()
    other.add_tokens(["<new>"])
    tiny_model("gpt_neo").save_pretrained(tmp_path / "reference")
    other.save_pretrained(tmp_path / "reference")

    with pytest.raises(CommandError, match="another tokenizer"):
        register(replace(registration(directory), reference=str(tmp_path / "reference")), backends, now=START)

    assert backends.base_models.list().data == ()
