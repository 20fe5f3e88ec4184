import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BloomConfig, BloomForCausalLM

from core.data.collate import collate, pack
from core.data.corpus import Example
from core.modeling.packing import attention_width, can_pack
from core.modeling.scoring import score
from tests.fakes.tiny_models import ARCHITECTURES, tiny_model


def examples(lengths):
    generator = torch.Generator().manual_seed(0)
    return [
        Example(str(at), tuple(torch.randint(3, 200, (length,), generator=generator).tolist()), length // 2, 0)
        for at, length in enumerate(lengths)
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("attention", [1, 10_000])
def test_packed_lines_give_the_scores_of_rows_by_themselves(architecture, attention):
    model, rows = tiny_model(architecture), examples([9, 2, 5, 12, 3, 7])
    packed = score(model, pack(rows, pad_id=0, attention_width=attention, max_width=64))
    alone = score(model, collate(rows, pad_id=0))
    torch.testing.assert_close(packed.logits, alone.logits, atol=1e-4, rtol=1e-4)
    for part in ("target", "row", "content"):
        assert torch.equal(getattr(packed, part), getattr(alone, part))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_architecture_that_keeps_rows_of_a_line_apart_can_pack(architecture):
    assert can_pack(tiny_model(architecture))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_proof_holds_in_lower_precision(architecture):
    assert can_pack(tiny_model(architecture).to(torch.bfloat16))


def test_architecture_without_position_ids_cannot_pack():
    torch.manual_seed(0)
    assert not can_pack(BloomForCausalLM(BloomConfig(vocab_size=256, hidden_size=32, n_layer=2, n_head=4)).eval())


def test_model_that_reads_a_line_as_one_text_cannot_pack():
    model = tiny_model("llama_tied")
    backbone = model.model
    own_forward = backbone.forward

    def forward(input_ids, attention_mask=None, position_ids=None, **rest):
        return own_forward(input_ids=input_ids, attention_mask=torch.ones_like(input_ids), **rest)

    backbone.forward = forward
    assert not can_pack(model)


@settings(max_examples=50)
@given(
    lengths=st.lists(st.integers(2, 40), min_size=1, max_size=20),
    attention=st.floats(1, 1e5),
    max_width=st.integers(40, 300),
)
def test_packed_lines_hold_every_token_once_and_take_the_cheapest_number_of_lines(lengths, attention, max_width):
    rows = examples(lengths)
    batch = pack(rows, pad_id=0, attention_width=attention, max_width=max_width)
    count, width = batch.input_ids.shape
    assert width <= max_width
    assert int(batch.attention_mask.sum()) == sum(lengths)
    assert batch.position_ids is not None
    for row, example in enumerate(rows):
        mine = batch.row == row
        line, positions = int(batch.line[mine][0]), batch.position[mine]
        start = int(positions[0]) - example.first_label + 1
        assert batch.input_ids[line, start : start + len(example.tokens)].tolist() == list(example.tokens)
        assert batch.position_ids[line, start : start + len(example.tokens)].tolist() == list(range(lengths[row]))
    padded = max(lengths) * len(lengths)
    assert count * width * (1 + width / attention) <= padded * (1 + max(lengths) / attention) + 1e-6


def test_where_attention_costs_everything_each_row_has_a_line_and_where_it_is_free_all_share_one():
    rows = examples([5, 5, 4])
    assert pack(rows, pad_id=0, attention_width=0.01, max_width=64).input_ids.shape == (3, 5)
    assert pack(rows, pad_id=0, attention_width=1e9, max_width=64).input_ids.shape == (1, 14)


def test_attention_width_is_six_times_the_hidden_size():
    assert attention_width(tiny_model("llama_tied")) == 6 * tiny_model("llama_tied").config.hidden_size
