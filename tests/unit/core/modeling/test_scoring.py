import pytest
import torch

from core.data.collate import collate
from core.data.corpus import Example
from core.domain.errors import UnsupportedBaseModelError
from core.modeling.scoring import require_plain_head, score
from tests.fakes.tiny_models import ARCHITECTURES, tiny_model

ROWS = [
    Example(id="a", tokens=(5, 6, 7, 8, 200, 3), first_label=2, num_trailing=1),
    Example(id="b", tokens=(9, 4, 77), first_label=1, num_trailing=0),
]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_equal_the_models_own_logits_one_row_at_a_time(architecture):
    model = tiny_model(architecture)
    scores = score(model, collate(ROWS, pad_id=0))
    for place, row in enumerate(ROWS):
        own = model(input_ids=torch.tensor([row.tokens]), use_cache=False).logits[0, row.first_label - 1 : -1]
        mine = scores.where(scores.row == place)
        torch.testing.assert_close(mine.logits, own, atol=1e-4, rtol=1e-4)
        assert mine.target.tolist() == list(row.tokens[row.first_label :])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_supported_architectures_have_a_plain_head(architecture):
    require_plain_head(tiny_model(architecture))


def test_model_that_scales_its_logits_is_refused():
    model = tiny_model("llama_tied")
    own_forward = model.forward

    def scaled(*args, **kwargs):
        output = own_forward(*args, **kwargs)
        output.logits = output.logits * 0.9
        return output

    model.forward = scaled
    with pytest.raises(UnsupportedBaseModelError, match="output head"):
        require_plain_head(model)
