import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import OPTConfig, OPTForCausalLM

from core.data.corpus import Example
from core.domain.errors import UnsupportedBaseModelError
from core.modeling.adapter import target_linears
from core.modeling.base_model import BaseModel
from core.unlearning.features import leading_directions, output_features
from tests.fakes.tiny_models import ARCHITECTURES, VOCAB, byte_tokenizer
from tests.unit.core.unlearning.conftest import altered, base_model, rows


def slow_features(base, layers, examples):
    """One forward pass an example, without padding; each layer's outputs summed over the tokens."""
    sums = {name: [] for name in layers}
    handles = [
        layer.register_forward_hook(
            lambda _, __, output, name=name: sums[name].append(output.reshape(-1, output.shape[-1]).sum(0))
        )
        for name, layer in layers.items()
    ]
    for example in examples:
        base.model(input_ids=torch.tensor([example.tokens]), use_cache=False)
    for handle in handles:
        handle.remove()
    return {name: torch.stack(found) for name, found in sums.items()}


def assert_equal_to_the_slow_loop(base, examples):
    layers = target_linears(base.model, "all-linear")
    fast, slow = output_features(base, layers, examples), slow_features(base, layers, examples)
    for name in layers:
        torch.testing.assert_close(fast[name], slow[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_equal_a_loop_without_padding(architecture):
    assert_equal_to_the_slow_loop(base_model(architecture), rows(5, seed=0))


def test_features_of_several_batches_stand_in_the_order_of_the_examples():
    lengths = [40 + place * 37 % 200 for place in range(40)]  # 5,560 tokens and more with padding: two batches at least
    examples = [Example(str(place), tuple(range(length)), 1, 0) for place, length in enumerate(lengths)]
    assert_equal_to_the_slow_loop(base_model(), examples)


def test_layers_whose_outputs_are_flattened_equal_the_slow_loop():
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 64, "num_hidden_layers": 2}
    config = OPTConfig(vocab_size=VOCAB, num_attention_heads=4, max_position_embeddings=256, **shape)
    model = OPTForCausalLM(config).eval().requires_grad_(False)
    assert_equal_to_the_slow_loop(BaseModel(model, byte_tokenizer(), None), rows(5, seed=0))


def test_outputs_of_a_layer_that_runs_twice_are_added_up():
    examples = rows(4, seed=0)
    twice, layers = altered(lambda mlp, x: mlp.down_proj(mlp.up_proj(x) + mlp.up_proj(x)))
    once, same = altered(lambda mlp, x: mlp.down_proj(2 * mlp.up_proj(x)))
    name = "model.layers.0.mlp.up_proj"
    expected = 2 * output_features(once, same, examples)[name]
    torch.testing.assert_close(output_features(twice, layers, examples)[name], expected)


def test_layer_that_does_not_run_on_every_token_is_refused_by_name():
    base, layers = altered(lambda mlp, x: mlp.down_proj(mlp.up_proj(x[:, 1:]).mean(dim=1, keepdim=True)))
    with pytest.raises(UnsupportedBaseModelError, match=r"layers\.0\.mlp\.up_proj .*every token"):
        output_features(base, layers, rows(4, seed=0))
    assert not layers["model.layers.0.mlp.up_proj"]._forward_hooks


@given(st.integers(0, 2**31 - 1), st.integers(1, 12), st.integers(1, 12), st.integers(1, 14))
def test_leading_directions_hold_what_the_covariances_eigenvectors_hold(seed, examples, width, count):
    features = torch.randn(examples, width, generator=torch.Generator().manual_seed(seed))
    directions = leading_directions(features, count=count)
    covariance = features.double().T @ features.double() / examples
    expected = torch.linalg.eigvalsh(covariance).flip(0)[: directions.shape[1]]
    q = directions.double()
    torch.testing.assert_close(q.T @ q, torch.eye(q.shape[1]).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(q.T @ covariance @ q, expected.diag(), atol=1e-4, rtol=1e-4)
    assert directions.shape == (width, min(count, examples, width))


def test_directions_that_no_example_has_are_not_among_them():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(9, 3, generator=generator) @ torch.randn(3, 20, generator=generator)  # of rank 3, rounded
    assert leading_directions(features, count=9).shape == (20, 3)
    assert leading_directions(torch.zeros(4, 20), count=9).shape == (20, 0)
    assert leading_directions(torch.zeros(0, 20), count=9).shape == (20, 0)
