"""Packages are verified as a customer would load them; each way to be wrong is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from core.domain.errors import PackageMismatchError
from core.modeling.adapter import LowRankPair, attach, target_linears, weight_of
from core.packaging.portable import to_portable, write_peft
from core.packaging.verify import TOLERANCES, Probe, check, logits_of, probe_rows, verify
from tests.fakes.tiny_models import tiny_model


def delivered(directory, *, dtype=torch.float32):
    """A base model on disk, a package beside it, and the probe of the model that the package came from."""
    tiny_model("llama_gqa_untied").save_pretrained(directory / "base")
    # Loaded, not cast: a cast would round the rotary frequencies as well, which loading keeps in float32.
    model = AutoModelForCausalLM.from_pretrained(directory / "base", dtype=dtype).eval().requires_grad_(False)
    rows = probe_rows(model, seed=0)
    base_logits = logits_of(model, rows)
    generator = torch.Generator().manual_seed(0)
    pairs = {}
    for name, layer in target_linears(model, "all-linear").items():
        height, width = weight_of(layer).shape
        anchor = LowRankPair(
            a=torch.randn(4, width, generator=generator), b=torch.randn(height, 4, generator=generator)
        )
        pairs[name] = (LowRankPair(a=anchor.a * 1.01, b=anchor.b), anchor)
    adapter = attach(model, pairs, scaling=2.0)
    package = directory / "package"
    package.mkdir()
    write_peft(to_portable(adapter), package, base_model="org/base", revision=None)
    return package, directory / "base", Probe(rows, trained_logits=logits_of(model, rows), base_logits=base_logits)


@pytest.fixture(scope="module")
def as_delivered(tmp_path_factory):
    directory = tmp_path_factory.mktemp("delivered")
    return directory, delivered(directory)[2]


@pytest.fixture
def trained(as_delivered, tmp_path):
    """A copy of the package and its base model, for a test to spoil."""
    directory, probe = as_delivered
    shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
    return tmp_path / "package", tmp_path / "base", probe


def verified(package, base, probe, *, dtype=torch.float32):
    return verify(package, base, probe, device=torch.device("cpu"), dtype=dtype)


def change(package, edit):
    tensors = load_file(package / "adapter_model.safetensors")
    save_file(edit(tensors), package / "adapter_model.safetensors", metadata={"format": "pt"})


def test_faithful_package_passes(trained):
    assert verified(*trained) < 1e-4


def test_faithful_package_of_a_bfloat16_model_passes(tmp_path):
    assert verified(*delivered(tmp_path, dtype=torch.bfloat16), dtype=torch.bfloat16) < 3e-2


def small_delta(dtype):
    """Base logits, and a change that is small beside them but no rounding."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(2, 8, 50, generator=generator) * 10
    return base.to(dtype), (0.08 * base.abs().max() * torch.rand(base.shape, generator=generator)).to(dtype)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("scale", [0.5, -1.0, 2.0])
def test_small_delta_of_another_scale_is_refused(scale, dtype):
    base, delta = small_delta(dtype)
    probe = Probe(torch.zeros(2, 8, dtype=torch.long), trained_logits=base + delta, base_logits=base)
    with pytest.raises(PackageMismatchError, match="differs"):
        check(probe, after=base + scale * delta, before=base, tolerance=TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_small_delta_passes_as_it_was_trained(dtype):
    base, delta = small_delta(dtype)
    probe = Probe(torch.zeros(2, 8, dtype=torch.long), trained_logits=base + delta, base_logits=base)
    assert check(probe, after=base + delta, before=base, tolerance=TOLERANCES[dtype]) == 0


def test_changed_weight_is_refused(trained):
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"
    change(trained[0], lambda tensors: tensors | {name: tensors[name] * 1.5})
    with pytest.raises(PackageMismatchError, match="differs"):
        verified(*trained)


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_names_that_match_nothing_are_refused(trained):
    change(trained[0], lambda tensors: {name.replace("mlp", "ffn"): value for name, value in tensors.items()})
    with pytest.raises(PackageMismatchError):
        verified(*trained)


def test_wrong_scaling_is_refused(trained):
    config = trained[0] / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"lora_alpha": 1}))
    with pytest.raises(PackageMismatchError, match="differs"):
        verified(*trained)


def test_other_base_weights_are_refused(trained, tmp_path):
    tiny_model("llama_gqa_untied", seed=1).save_pretrained(tmp_path / "base")
    with pytest.raises(PackageMismatchError, match="switched off"):
        verified(*trained)


def test_logits_that_are_not_numbers_are_refused(trained):
    probe = trained[2]
    broken = torch.full_like(probe.trained_logits, float("nan"))
    with pytest.raises(PackageMismatchError):
        check(probe, after=broken, before=probe.base_logits, tolerance=TOLERANCES[torch.float32])


def test_config_is_in_the_profile_that_servers_load(trained):
    config = json.loads((trained[0] / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    assert config["task_type"] == "CAUSAL_LM"
    assert (config["r"], config["lora_alpha"]) == (8, 16)
    assert config["bias"] == "none"
    assert not config["use_dora"]
    assert not config["use_rslora"]
    assert config["modules_to_save"] is None
    assert config["rank_pattern"] == {}
    assert config["alpha_pattern"] == {}
    assert config["base_model_name_or_path"] == "org/base"
