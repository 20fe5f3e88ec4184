import pytest
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM

from core.domain.errors import UnsupportedBaseModelError
from core.modeling.adapter import weight_of
from core.unlearning.law.down_projections import default_layers, down_projections
from tests.fakes.tiny_models import ARCHITECTURES, VOCAB, tiny_model

NAMES = {
    "gpt_neo": "transformer.h.0.mlp.c_proj",
    "gpt2": "transformer.h.0.mlp.c_proj",
    "llama_gqa_untied": "model.layers.0.mlp.down_proj",
    "llama_tied": "model.layers.0.mlp.down_proj",
    "phi": "model.layers.0.mlp.fc2",
    "qwen2": "model.layers.0.mlp.down_proj",
    "gpt_neox": "gpt_neox.layers.0.mlp.dense_4h_to_h",
}
SHAPE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": VOCAB}


def llama(**changes):
    return LlamaForCausalLM(LlamaConfig(**(SHAPE | {"intermediate_size": 64} | changes)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_has_one_down_projection_a_layer(architecture):
    model = tiny_model(architecture)

    (found,) = down_projections(model, None)

    assert (found.layer, found.name) == (0, NAMES[architecture])
    assert found.linear is model.get_submodule(found.name)
    width = weight_of(model.get_submodule(found.name)).shape
    assert width[0] == model.config.hidden_size < width[1]


def test_an_mlp_without_a_module_of_its_own_is_found_too():
    config = OPTConfig(**SHAPE, word_embed_proj_dim=32, ffn_dim=64, max_position_embeddings=32)

    assert [found.name for found in down_projections(OPTForCausalLM(config), [1])] == ["model.decoder.layers.1.fc2"]


def test_attention_of_another_width_is_no_mlp():
    assert [found.name for found in down_projections(llama(head_dim=16), [0])] == ["model.layers.0.mlp.down_proj"]


def test_chosen_layers_come_once_and_ascending():
    assert [found.layer for found in down_projections(llama(), [1, 0, 1])] == [0, 1]


@pytest.mark.parametrize("chosen", [[2], [0, 7]])
def test_a_layer_that_nobody_reads_or_that_does_not_exist_is_refused(chosen):
    with pytest.raises(UnsupportedBaseModelError, match=f"layer {chosen[-1]} cannot be edited"):
        down_projections(llama(), chosen)


def test_an_mlp_as_narrow_as_the_residual_stream_is_refused():
    with pytest.raises(UnsupportedBaseModelError, match="0 linear layers of a LlamaDecoderLayer"):
        down_projections(llama(intermediate_size=32), [0])


@pytest.mark.parametrize(
    ("depth", "layers"),
    [(2, [0]), (4, [1]), (12, [3, 4]), (28, [6, 7, 8, 9]), (48, [12, 13, 14, 15, 16])],
)
def test_default_layers_end_at_a_third(depth, layers):
    assert default_layers(depth) == layers
