"""A group of one process; ``tests/integration/test_devices.py`` has two."""

import pytest
import torch
from torch.distributed.tensor import DTensor

from core.modeling.adapter import target_linears, weight_of
from core.modeling.decoder import decoder_layers
from core.modeling.scoring import require_plain_head
from core.modeling.sharding import agree, is_sharded, shard, whole
from tests.fakes.tiny_models import tiny_model

CPU = torch.device("cpu")


@pytest.fixture
def _group(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("_group")
def test_decoder_layers_are_spread_and_nothing_else():
    model = tiny_model("llama_tied")
    shard(model, CPU)

    require_plain_head(model)  # what passed once is spread again afterwards
    spread = {name for name, parameter in model.named_parameters() if isinstance(parameter, DTensor)}
    assert spread == {f"model.layers.{name}" for name, _ in decoder_layers(model).named_parameters()}
    assert model.lm_head.weight is model.model.embed_tokens.weight


@pytest.mark.usefixtures("_group")
def test_weight_of_a_spread_layer_is_an_ordinary_tensor():
    model, untouched = tiny_model("gpt2"), tiny_model("gpt2")
    shard(model, CPU)

    for name, layer in target_linears(model, "all-linear").items():
        weight = weight_of(layer)
        assert not isinstance(weight, DTensor)
        assert torch.equal(weight, weight_of(untouched.get_submodule(name)))


@pytest.mark.usefixtures("_group")
def test_whether_a_model_is_spread_is_seen():
    model = tiny_model("llama_tied")
    assert not is_sharded(model)
    shard(model, CPU)
    assert is_sharded(model)


def test_ordinary_weight_is_whole_already():
    weight = torch.ones(2, 3)
    assert whole(weight) is weight


@pytest.mark.usefixtures("_group")
def test_first_process_keeps_its_values():
    parameter = torch.nn.Parameter(torch.arange(3.0))
    agree([parameter])
    assert parameter.tolist() == [0.0, 1.0, 2.0]
