import pytest
import torch

from core.domain.errors import BaseModelChangedError, UnsupportedBaseModelError, WorkerUnfitError
from core.modeling.base_model import choose_device, load_base_model, locate, weights_digest
from tests.fakes.tiny_models import byte_tokenizer, tiny_model

CPU = torch.device("cpu")


@pytest.fixture
def directory(tmp_path):
    tiny_model("gpt_neo").save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def test_loads_frozen_in_float32_and_evaluation_mode(directory):
    base = load_base_model(directory, device=CPU, expected_sha256=weights_digest(directory))
    assert base.model.dtype == torch.float32
    assert not base.model.training
    assert not any(parameter.requires_grad for parameter in base.model.parameters())
    assert base.max_tokens == 256


def test_other_weights_than_the_registered_ones_are_refused(directory):
    registered = weights_digest(directory)
    tiny_model("gpt_neo", seed=1).save_pretrained(directory)
    with pytest.raises(BaseModelChangedError):
        load_base_model(directory, device=CPU, expected_sha256=registered)


def test_digest_covers_names_and_contents(directory):
    before = weights_digest(directory)
    (directory / "model.safetensors").rename(directory / "other.safetensors")
    assert weights_digest(directory) != before


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"no")
    with pytest.raises(UnsupportedBaseModelError, match="safetensors"):
        locate(str(tmp_path), None)


def test_directory_that_needs_remote_code_is_refused(directory):
    (directory / "config.json").write_text('{"model_type": "home_made", "auto_map": {"AutoConfig": "code.Config"}}')
    with pytest.raises(UnsupportedBaseModelError):
        load_base_model(directory, device=CPU)


def test_missing_gpu_is_an_error_and_no_fall_back(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(WorkerUnfitError, match="GPU"):
        choose_device("cuda")
