import typing

import pytest
import torch

from core.evaluation.attack import NO_REFERENCE, leak, num_tokens
from core.evaluation.attacks.quantisation import Quantisation, QuantisationBudget, Variant, _rounded
from core.modeling.adapter import target_linears, weight_of
from core.modeling.rounded_linear import added_weight, int8, merged_weight, nf4, nf4_step
from core.modeling.stand_ins import stand_ins
from tests.fakes.tiny_models import ARCHITECTURES, VOCAB, tiny_model
from tests.fakes.unlearned_model import ENCODE, FORGET, NEIGHBOURS, all_of, random_adapter, same, scene, trained_on

VARIANTS = typing.get_args(Variant)


def logits(model):
    ids = torch.randint(VOCAB, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


def deployed(architecture, variant):
    """The same model with rounded weights written into it, which is how a server has it."""
    model = tiny_model(architecture)
    adapter = random_adapter(model, moved=0.05)
    rounded = int8 if "int8" in variant else nf4
    if "merged" in variant:
        for layer in adapter.layers.values():
            weight_of(layer.base).copy_(rounded(merged_weight(layer)))
        adapter.detach()
    else:
        for linear in target_linears(model, "all-linear").values():
            weight_of(linear).copy_(rounded(weight_of(linear)))
    return model


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_model_computes_what_a_deployed_one_does(architecture, variant):
    model = tiny_model(architecture)
    adapter = random_adapter(model, moved=0.05)

    with stand_ins(model, _rounded(adapter, variant)):
        found = logits(model)

    torch.testing.assert_close(found, logits(deployed(architecture, variant)), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, logits(model), rtol=1e-4, atol=1e-4)


def test_layers_that_the_adapter_leaves_alone_are_rounded_too():
    model = tiny_model("gpt_neo")
    adapter = random_adapter(model, moved=0.05)
    names = sorted(adapter.layers)
    for name in names[2:]:
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, adapter.layers.pop(name).base)

    assert sorted(_rounded(adapter, "nf4_merged")) == names
    assert sorted(_rounded(adapter, "nf4_base")) == sorted([*(f"{name}.base" for name in names[:2]), *names[2:]])


def test_the_models_are_afterwards_what_they_were_bit_for_bit():
    attacked = scene(reference=trained_on(NEIGHBOURS))
    models = [attacked.model, attacked.reference]
    before = [(all_of(model), [(name, id(module)) for name, module in model.named_modules()]) for model in models]

    Quantisation()(attacked)

    for model, (tensors, modules) in zip(models, before, strict=True):
        assert same(tensors, all_of(model))
        assert [(name, id(module)) for name, module in model.named_modules()] == modules


def test_an_error_within_leaves_the_model_as_it_was():
    attacked = scene()
    before = all_of(attacked.model)

    with pytest.raises(AttributeError), stand_ins(attacked.model, _rounded(attacked.adapter, "nf4_merged")):
        leak(attacked.model, [None], pad_id=256)

    assert same(before, all_of(attacked.model))


def test_small_changes_vanish_when_merged_and_stay_when_the_adapter_is_kept_apart():
    """The adapter's changes are a hundredth of a step: merged and rounded, the model is the rounded base model."""
    attacked = scene(moved=1e-4)
    with attacked.adapter.disabled(), stand_ins(attacked.model, _rounded(attacked.adapter, "nf4_base")):
        rounded_base = logits(attacked.model)

    with stand_ins(attacked.model, _rounded(attacked.adapter, "nf4_merged")):
        merged = logits(attacked.model)

    (_, _, _, result) = Quantisation()(attacked)
    assert max(layer.median_change for layer in result.layers) < 0.01
    kept = (merged - rounded_base).abs().max() / rounded_base.abs().max()
    assert kept < 0.1


def test_each_deployment_is_measured_as_the_evaluation_measures():
    attacked = scene(reference=trained_on(NEIGHBOURS))

    results = Quantisation()(attacked)

    assert [result.variant for result in results] == list(VARIANTS)
    for result in results:
        with stand_ins(attacked.model, _rounded(attacked.adapter, result.variant)):
            assert result.attacked == leak(attacked.model, ENCODE(FORGET), pad_id=256)
        assert result.unattacked == leak(attacked.model, ENCODE(FORGET), pad_id=256)
        assert result.reference.n == len(FORGET)
    assert results[0].reference == results[2].reference  # it has no adapter, so there is nothing to merge


def test_changes_are_in_steps_of_their_own_block():
    attacked = scene()

    *others, result = Quantisation()(attacked)

    assert [layer.module for layer in result.layers] == list(attacked.adapter.layers)
    assert not any(other.layers for other in others)
    for found, layer in zip(result.layers, attacked.adapter.layers.values(), strict=True):
        steps = (added_weight(layer).abs() / nf4_step(weight_of(layer.base))).flatten().sort().values
        assert found.max_change == pytest.approx(float(steps[-1]))
        assert found.median_change == pytest.approx(float(steps[(len(steps) - 1) // 2]))


def test_a_layer_of_zeros_has_no_steps_to_speak_of():
    attacked = scene()
    name, layer = next(iter(attacked.adapter.layers.items()))
    weight_of(layer.base).zero_()

    (result,) = Quantisation(QuantisationBudget(("nf4_merged",)))(attacked)

    assert name not in {found.module for found in result.layers}


def test_without_a_reference_it_is_missing_with_the_reason():
    (result,) = Quantisation(QuantisationBudget(("int8_base",)))(scene())

    assert result.reference is None
    assert result.missing == {"reference": NO_REFERENCE}


def test_cost_is_a_pass_for_each_deployment_and_model_and_one_without_the_attack():
    tokens = num_tokens(ENCODE(FORGET))
    alone, compared = scene(), scene(reference=trained_on(NEIGHBOURS))

    assert Quantisation(QuantisationBudget(())).cost(alone) == tokens
    assert Quantisation(QuantisationBudget(("nf4_base",))).cost(alone) == 2 * tokens
    assert Quantisation().cost(alone) == 5 * tokens
    assert Quantisation().cost(compared) == (1 + 4 + 2) * tokens  # the reference has no adapter to merge
    spent = [result.budget["forward_tokens"] for result in Quantisation()(compared)]
    assert spent == [2 * tokens, 2 * tokens, tokens, tokens]
    assert Quantisation().cost(scene(forget=FORGET[:2])) < 5 * tokens


def test_of_many_items_the_seed_draws_some():
    budgets = [QuantisationBudget(("int8_base",), max_items=3, seed=seed) for seed in (0, 0, 3)]

    measured = [list(Quantisation(budget)(scene())[0].attacked.items) for budget in budgets]

    assert measured[0] == measured[1] != measured[2]
    assert len(measured[0]) == 3
