import pytest
import torch

from core.domain.errors import UnsupportedBaseModelError
from core.modeling.base_model import BaseModel
from core.modeling.decoder import decoder_layers
from core.unlearning.law import targets as module
from core.unlearning.law.facts import encode_facts
from core.unlearning.law.states import subject_states
from core.unlearning.law.targets import fact_batches, wash_targets
from tests.fakes.recalling_model import known_facts
from tests.fakes.tiny_models import ARCHITECTURES
from tests.unit.core.unlearning.law.conftest import encoder, facts, short_encoder, tiny_base

EOS = 256


def found(base, layer, rows, *, steps=10):
    return wash_targets(base, layer, rows, steps=steps, on_step=lambda _: None)


def probability_of_the_end(base, layer, row, state):
    """Mean log-probability of the end of sequence over a completion, with the subject's hidden state replaced."""

    def replace(_module, _inputs, output):
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        hidden[0, row.subject] = state
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handle = decoder_layers(base.model)[layer].register_forward_hook(replace)
    logits = base.model(input_ids=torch.tensor([row.example.tokens])).logits[0]
    handle.remove()
    first, last = row.example.first_label, len(row.example.tokens) - row.example.num_trailing
    return float(logits[first - 1 : last - 1].log_softmax(dim=-1)[:, EOS].mean())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_target_makes_the_end_likelier_on_every_architecture(architecture):
    base, rows = tiny_base(architecture), encode_facts(encoder(), facts(2), ["So. "])
    before = subject_states(base, 0, rows)

    after = found(base, 0, rows)

    for place, fact in enumerate(rows):
        ends = [probability_of_the_end(base, 0, fact.plain, states[place]) for states in (before, after)]
        assert ends[1] > ends[0]


def test_target_makes_the_end_likelier_where_a_fact_is_known(recalling):
    rows = encode_facts(short_encoder(), known_facts()[:2], [])
    before = subject_states(recalling, 1, rows)

    after = found(recalling, 1, rows, steps=25)

    for place, fact in enumerate(rows):
        ends = [probability_of_the_end(recalling, 1, fact.plain, states[place]) for states in (before, after)]
        assert ends[1] > ends[0] + 2


def test_target_is_no_further_than_three_quarters_of_the_state():
    base, rows = tiny_base(), encode_facts(encoder(), facts(3), [])
    before = subject_states(base, 0, rows)

    after = found(base, 0, rows, steps=40)

    moved = (after - before).norm(dim=1) / before.norm(dim=1)
    assert moved.max() == pytest.approx(0.75, rel=1e-5)


def test_target_of_a_fact_does_not_depend_on_its_company(monkeypatch):
    base, rows = tiny_base(), encode_facts(encoder(), facts(3), ["So. "])

    together = found(base, 0, rows)
    monkeypatch.setattr(module, "_BATCH_TOKENS", 1)
    alone = found(base, 0, rows)

    assert len(fact_batches(rows)) == 3
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)


def test_fact_that_is_washed_already_stays(monkeypatch):
    monkeypatch.setattr(module, "_ENOUGH", 1e9)
    base, rows, steps = tiny_base(), encode_facts(encoder(), facts(2), []), []

    after = wash_targets(base, 0, rows, steps=9, on_step=steps.append)

    assert torch.equal(after, subject_states(base, 0, rows))
    assert steps == [1]


def test_steps_are_counted_over_all_groups(monkeypatch):
    monkeypatch.setattr(module, "_BATCH_TOKENS", 1)
    steps = []

    wash_targets(tiny_base(), 0, encode_facts(encoder(), facts(2), []), steps=3, on_step=steps.append)

    assert steps == [1, 2, 3, 4, 5, 6]


def test_groups_hold_what_fits_in_order(monkeypatch):
    rows = encode_facts(encoder(), facts(5), [])
    monkeypatch.setattr(module, "_BATCH_TOKENS", rows[0].num_tokens + rows[1].num_tokens)

    groups = fact_batches(rows)

    assert [fact for group in groups for fact in group] == rows
    assert groups[0] == rows[:2]


def test_model_without_an_end_of_sequence_is_refused():
    base, rows = tiny_base(), encode_facts(encoder(), facts(1), [])
    base.tokenizer.eos_token = None

    with pytest.raises(UnsupportedBaseModelError, match="end of sequence"):
        found(BaseModel(base.model, base.tokenizer, base.path), 0, rows)
