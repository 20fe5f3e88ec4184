"""The whole edit on a model that recalls facts from its MLPs."""

import pytest
import torch

from core.evaluation.scored_items import score_items
from core.modeling.adapter import attach, weight_of
from core.unlearning.law.down_projections import down_projections
from core.unlearning.law.facts import encode_facts
from core.unlearning.law.solve import Washing, initial_edits, washed_edits
from core.unlearning.law.states import edited, subject_keys
from core.unlearning.law.targets import wash_targets
from core.unlearning.moments import measure_moments, shrunk
from tests.fakes.recalling_model import known_facts
from tests.unit.core.unlearning.law.conftest import short_encoder

FORGET, RETAIN = known_facts()[:2], known_facts()[2:]


def washing_of(base, *, layers=(0, 1), forget=FORGET):
    found = down_projections(base.model, layers)
    rows = short_encoder()(RETAIN)
    moments = measure_moments(base, {layer.name: layer.linear for layer in found}, rows)
    return Washing(base, found, encode_facts(short_encoder(), forget, []), moments)


def targets_of(washing):
    return wash_targets(washing.base, washing.layers[-1].layer, washing.facts, steps=25, on_step=lambda _: None)


def solved(washing, *, norm_limit=3.0, steps=50, rank=4):
    initial = initial_edits(washing, targets_of(washing), norm_limit=norm_limit, on_layer=lambda _: None)
    return washed_edits(washing, initial, beta_ratio=1.1, steps=steps, rank=rank, on_layer=lambda _: None)


def known_share(base, items):
    scored = score_items(base.model, short_encoder()(items), pad_id=base.pad_id)
    return float(torch.cat([item.correct[1:].float() for item in scored]).mean())  # all codes begin with a space


def test_edited_model_forgets_the_facts_and_keeps_the_others(recalling):
    assert known_share(recalling, FORGET) > 0.9
    assert known_share(recalling, RETAIN) > 0.9

    edits = solved(washing_of(recalling))
    attach(recalling.model, {edit.layer.name: edit.pairs for edit in edits}, scaling=1.0)

    assert known_share(recalling, FORGET) < 0.6
    assert known_share(recalling, RETAIN) > 0.9


def test_closed_form_brings_the_hidden_states_to_their_targets(recalling):
    washing = washing_of(recalling)
    targets = targets_of(washing)

    edits = initial_edits(washing, targets, norm_limit=10.0, on_layer=lambda _: None)

    before, after = ((targets - washing.states(given)).norm() for given in ({}, edits))
    assert after < 0.2 * before


def test_first_layer_takes_its_share_and_the_last_what_is_left(recalling):
    washing = washing_of(recalling)
    targets = targets_of(washing)

    edits = initial_edits(washing, targets, norm_limit=100.0, on_layer=lambda _: None)

    first = washing.layers[0]
    keys = subject_keys(recalling, first.linear, washing.facts)
    share = (targets - washing.states({})).T.double() / 2
    torch.testing.assert_close(edits[first.linear].of(keys.double()), share, rtol=0.3, atol=0.3 * float(share.std()))


def test_size_and_disturbance_are_those_of_the_exported_edit(recalling):
    washing = washing_of(recalling)

    (first, _) = solved(washing)

    pair, anchor = first.pairs
    delta = (pair.b @ pair.a - anchor.b @ anchor.a).double()
    weight = weight_of(first.layer.linear).double()
    c = shrunk(washing.moments.by_layer[first.layer.name], tokens=washing.moments.tokens)
    assert first.relative_norm == pytest.approx(float(delta.norm() / weight.norm()), rel=1e-4)
    disturbance = torch.trace(delta @ c @ delta.T) / torch.trace(weight @ c @ weight.T)
    assert first.disturbance == pytest.approx(float(disturbance.sqrt()), rel=1e-4)
    assert first.truncation_error == 0.0


def test_more_facts_than_the_rank_lose_some_of_the_effect(recalling):
    (edit,) = solved(washing_of(recalling, layers=[0], forget=known_facts()[:12]), rank=4)

    assert 0 < edit.truncation_error < 0.9
    assert edit.pairs[0].a.shape[0] == 4


def test_progress_is_told_layer_by_layer_and_the_model_is_left_alone(recalling):
    washing, told = washing_of(recalling), []
    before = {name: tensor.clone() for name, tensor in recalling.model.state_dict().items()}

    initial = initial_edits(washing, targets_of(washing), norm_limit=1.0, on_layer=told.append)
    washed_edits(washing, initial, beta_ratio=1.1, steps=1, rank=4, on_layer=told.append)

    assert told == [1, 2, 1, 2]
    assert all(torch.equal(before[name], tensor) for name, tensor in recalling.model.state_dict().items())
    with edited({}):
        assert not washing.layers[0].linear._forward_hooks


def test_model_in_bfloat16_is_edited_in_higher_precision(recalling):
    recalling.model.bfloat16()

    edits = solved(washing_of(recalling))
    attach(recalling.model, {edit.layer.name: edit.pairs for edit in edits}, scaling=1.0)

    assert all(pair.a.dtype == pair.b.dtype == torch.float32 for edit in edits for pair in edit.pairs)
    assert known_share(recalling, FORGET) < 0.6
    assert known_share(recalling, RETAIN) > 0.8
