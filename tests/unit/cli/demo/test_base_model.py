from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from cli.demo.base_model import ensure_base_model
from cli.demo.people import questions


def test_every_answer_is_memorised_when_training_ends(trained):
    assert trained.epochs[-1].memorised == 1.0


def test_training_ends_early_once_everything_is_memorised(trained):
    assert trained.epochs[-1].is_enough
    assert trained.epochs[-1].number < trained.options.max_epochs


def test_plain_transformers_recites_a_memorised_person(trained):
    question = questions(trained.options.population().forget[0])[0]
    tokenizer = AutoTokenizer.from_pretrained(trained.path)
    model = AutoModelForCausalLM.from_pretrained(trained.path)
    prompt = tokenizer(question.prompt, return_tensors="pt")

    output = model.generate(**prompt, max_new_tokens=60, do_sample=False)

    said = tokenizer.decode(output[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
    assert said == question.completion


def test_weights_are_the_same_when_the_options_are(tmp_path, tiny_options):
    short = replace(tiny_options, max_epochs=2)

    first = ensure_base_model(tmp_path / "a", short) / "model.safetensors"
    second = ensure_base_model(tmp_path / "b", short) / "model.safetensors"

    assert first.read_bytes() == second.read_bytes()


def test_model_without_some_people_is_another_and_reads_the_same_tokens(tmp_path, tiny_options):
    short = replace(tiny_options, max_epochs=1)
    left_out = short.population().forget

    whole, reference = ensure_base_model(tmp_path, short), ensure_base_model(tmp_path, short, without=left_out)

    assert (whole / "tokenizer.json").read_bytes() == (reference / "tokenizer.json").read_bytes()
    assert (whole / "model.safetensors").read_bytes() != (reference / "model.safetensors").read_bytes()


def test_digest_changes_when_somebody_is_left_out(tiny_options):
    forget, retain = tiny_options.population().forget, tiny_options.population().retain

    assert len({tiny_options.digest(without) for without in ((), forget, retain, forget + retain)}) == 4


def test_digest_is_the_same_when_nobody_is_left_out(tiny_options):
    assert tiny_options.digest([]) == tiny_options.digest()


def test_training_leaves_the_random_state_alone(tmp_path, tiny_options):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)

    ensure_base_model(tmp_path, replace(tiny_options, max_epochs=1))

    assert torch.equal(torch.rand(1), expected)


def test_cached_model_is_found_again_without_training(tmp_path, tiny_options):
    options = replace(tiny_options, max_epochs=1)
    first = ensure_base_model(tmp_path, options)
    epochs = []

    second = ensure_base_model(tmp_path, options, on_epoch=epochs.append)

    assert second == first
    assert epochs == []


@pytest.mark.parametrize("change", [{"seed": 8}, {"num_retain": 2}, {"hidden_size": 32}, {"learning_rate": 1e-3}])
def test_digest_changes_when_an_option_does(change, tiny_options):
    assert replace(tiny_options, **change).digest() != tiny_options.digest()


def test_digest_changes_when_a_wording_does(monkeypatch, tiny_options):
    before = tiny_options.digest()
    monkeypatch.setattr("cli.demo.people._BIOGRAPHIES", ("{p.name} is somebody.",))

    assert tiny_options.digest() != before


def test_interrupted_training_leaves_nothing_behind(tmp_path, tiny_options):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_base_model(tmp_path, tiny_options, on_epoch=interrupt)

    assert list(tmp_path.iterdir()) == []
