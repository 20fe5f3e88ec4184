import pytest
from transformers import PreTrainedConfig

from core.domain.errors import UnsupportedBaseModelError
from core.modeling.decoder import decoder_layers
from tests.fakes.tiny_models import tiny_model


def test_model_without_one_list_of_decoder_layers_is_refused():
    model = tiny_model("llama_tied")
    model.config.num_hidden_layers = 3
    with pytest.raises(UnsupportedBaseModelError, match="no single list of 3 decoder layers"):
        decoder_layers(model)


def test_model_of_unknown_depth_is_refused():
    model = tiny_model("llama_tied")
    model.config = PreTrainedConfig()
    with pytest.raises(UnsupportedBaseModelError, match="num_hidden_layers"):
        decoder_layers(model)
