import pytest
import torch
from peft import PeftModel

from core.domain.errors import UnsupportedBaseModelError
from core.modeling.adapter import LowRankPair, attach, target_linears, weight_of
from core.packaging.portable import to_portable, write_peft
from tests.fakes.tiny_models import ARCHITECTURES, VOCAB, tiny_model

RANK = 4


def anchored(model, *, seed=0, targets="all-linear", moved=0.02):
    generator = torch.Generator().manual_seed(seed)
    pairs = {}
    for name, layer in target_linears(model, targets).items():
        rows, columns = weight_of(layer).shape
        anchor = LowRankPair(
            a=torch.randn(RANK, columns, generator=generator) * 0.2,
            b=torch.randn(rows, RANK, generator=generator) * 0.2,
        )
        initial = LowRankPair(
            a=anchor.a + moved * torch.randn(RANK, columns, generator=generator),
            b=anchor.b + moved * torch.randn(rows, RANK, generator=generator),
        )
        pairs[name] = (initial, anchor)
    return attach(model, pairs, scaling=2.0)


def logits(model, seed=1):
    ids = torch.randint(VOCAB, (3, 24), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equal_pair_and_anchor_leave_the_base_function(architecture):
    model = tiny_model(architecture)
    before = logits(model)
    anchored(model, moved=0.0)
    torch.testing.assert_close(logits(model), before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_anchored_forward_is_the_base_weight_plus_the_difference_of_products(architecture):
    model, expected = tiny_model(architecture), tiny_model(architecture)
    adapter = anchored(model)
    for name, layer in adapter.layers.items():
        delta = layer.scaling * (layer.b @ layer.a - layer.anchor_b @ layer.anchor_a)
        weight_of(expected.get_submodule(name)).add_(delta.detach())  # a view, also of Conv1D's transposed weight
    torch.testing.assert_close(logits(model), logits(expected), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_disabled_and_detached_are_the_base_bit_for_bit(architecture):
    model = tiny_model(architecture)
    before = logits(model)
    adapter = anchored(model)
    assert not torch.equal(logits(model), before)
    with adapter.disabled():
        assert torch.equal(logits(model), before)
    adapter.detach()
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_exported_adapter_in_plain_peft_reproduces_the_trained_model(architecture, tmp_path):
    model = tiny_model(architecture)
    base_logits = logits(model)
    adapter = anchored(model)
    trained = logits(model)
    lora = to_portable(adapter)
    write_peft(lora, tmp_path, base_model="org/base", revision="abc")
    loaded = PeftModel.from_pretrained(tiny_model(architecture), tmp_path)

    assert lora.rank == 2 * RANK
    torch.testing.assert_close(logits(loaded), trained, atol=2e-4, rtol=2e-4)
    with loaded.disable_adapter():
        assert torch.equal(logits(loaded), base_logits)


@pytest.mark.parametrize(
    ("architecture", "targets", "expected"),
    [
        ("llama_tied", ["q_proj", "up_proj"], ["q_proj", "up_proj"]),
        ("llama_tied", ["layers.1.mlp.up_proj"], ["model.layers.1.mlp.up_proj"]),
        ("gpt2", ["attn.c_proj"], ["transformer.h.0.attn.c_proj", "transformer.h.1.attn.c_proj"]),
    ],
)
def test_exported_names_select_the_trained_layers_and_no_others(architecture, targets, expected, tmp_path):
    model = tiny_model(architecture)
    adapter = anchored(model, targets=targets)
    lora = to_portable(adapter)
    assert lora.target_modules == expected

    write_peft(lora, tmp_path, base_model="org/base", revision="abc")
    loaded = PeftModel.from_pretrained(tiny_model(architecture), tmp_path)
    wrapped = {name for name, module in loaded.base_model.model.named_modules() if hasattr(module, "lora_A")}
    assert wrapped == set(adapter.layers)
    torch.testing.assert_close(logits(loaded), logits(model), atol=2e-4, rtol=2e-4)


def test_refactored_pair_survives_half_precision_better_than_the_concatenation():
    model = tiny_model("llama_tied")
    adapter = anchored(model, moved=0.002)
    lora = to_portable(adapter)
    for name, layer in adapter.layers.items():
        exact = (layer.b @ layer.a - layer.anchor_b @ layer.anchor_a).detach().double()
        up = torch.cat([layer.b, -layer.anchor_b], dim=1).detach().bfloat16().double()
        down = torch.cat([layer.a, layer.anchor_a]).detach().bfloat16().double()
        ours = lora.pairs[name].b.bfloat16().double() @ lora.pairs[name].a.bfloat16().double()
        assert (ours - exact).norm() < 0.1 * (up @ down - exact).norm()


def test_all_linear_leaves_the_output_head_alone():
    assert "lm_head" not in target_linears(tiny_model("llama_gqa_untied"), "all-linear")


def test_targets_match_whole_name_components():
    names = set(target_linears(tiny_model("gpt_neox"), ["dense"]))
    assert names == {"gpt_neox.layers.0.attention.dense", "gpt_neox.layers.1.attention.dense"}


def test_unknown_target_is_refused_with_what_there_is():
    with pytest.raises(UnsupportedBaseModelError, match="q_proj"):
        target_linears(tiny_model("llama_tied"), ["q_porj"])
