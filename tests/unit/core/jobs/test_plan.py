import pytest

from core.domain.catalog import GaGdGeneralOptions, GradientAscentOptions, LawOptions, LokuOptions, NpoOptions
from core.domain.policy import POLICIES
from core.domain.sizes import SetSize
from core.evaluation.attacks import ATTACKS
from core.evaluation.evaluate import MAX_DECODED_TOKENS
from core.evaluation.metrics import METRICS
from core.jobs import plan
from core.jobs.plan import workload_of
from core.pipeline.measure import MAX_DECODED_FORGET_TOKENS
from core.pipeline.self_generated import MAX_TOKENS, NUM_TEXTS
from core.pipeline.sets import MAX_UNSEEN
from tests.fakes.examples import a_base_model, some_sizes

FORGET = SetSize(num_items=10, num_tokens=200, longest=30, wording_tokens=50)
RETAIN = some_sizes().retain  # 400 items, 20 tokens each, the longest 40
STANDARD, FAST = POLICIES["standard-2"], POLICIES["fast-1"]


def planned(method, *, policy=FAST, base_model=None, forget=FORGET, own_retain=None):
    return workload_of(method, policy, base_model or a_base_model(), forget, own_retain)


def test_the_bounds_are_those_of_the_recipe():
    assert plan.MEASURED_RETAIN_ROWS == MAX_UNSEEN
    assert (plan.DECODED_FORGET_TOKENS, plan.DECODED_TOKENS) == (MAX_DECODED_FORGET_TOKENS, MAX_DECODED_TOKENS)
    assert {attack.budget.max_items for attack in ATTACKS.values()} == {plan.ATTACKED_ITEMS}
    assert {name for name, metric in METRICS.items() if metric.shortest_continuation} == plan.DECODING_METRICS
    assert (plan.WRITTEN_TEXTS.num_items, plan.WRITTEN_TEXTS.longest) == (NUM_TEXTS, MAX_TOKENS)


def test_a_base_model_that_nobody_counted_plans_nothing():
    old = a_base_model().model_copy(update={"sizes": None})

    assert planned(LokuOptions(), base_model=old) is None


def test_training_passes_each_batch_forward_and_backward_at_every_step():
    workload = planned(NpoOptions(max_steps=50, batch_size=4))

    assert workload.steps == 50
    assert workload.tokens["train"] == 3 * 50 * (4 * 20 + 4 * 20)
    assert (workload.tokens["fisher"], workload.tokens["initialize"]) == (0, 0)  # a plain LoRA asks for nothing


def test_a_set_smaller_than_a_batch_is_the_batch():
    assert planned(NpoOptions(max_steps=1)).tokens["train"] == 3 * (200 + 32 * 20)


def test_without_retain_loss_only_the_forget_rows_pass():
    workload = planned(GradientAscentOptions(max_steps=1, batch_size=4))

    assert workload.tokens["train"] == 3 * 4 * 20
    assert workload.batch_tokens == 4 * 30


def test_a_step_uphill_passes_the_forget_rows_twice():
    assert planned(NpoOptions(max_steps=1, batch_size=4, sharpness_radius=0.1)).tokens["train"] == 3 * (160 + 80)


def test_an_initializer_reads_a_sample_of_the_retain_rows_and_the_forget_rows():
    workload = planned(LokuOptions(fisher_retain_items=100))

    assert workload.tokens["fisher"] == 3 * 100 * 20
    assert workload.tokens["initialize"] == 3 * 200


def test_measuring_reads_what_is_scored_and_what_is_decoded():
    holdout = SetSize(num_items=50, num_tokens=500, longest=20)
    base_model = a_base_model().model_copy(update={"sizes": some_sizes().model_copy(update={"holdout": holdout})})

    fast = planned(LokuOptions(), base_model=base_model).tokens
    standard = planned(LokuOptions(), policy=STANDARD, base_model=base_model).tokens

    scored = 200 + 50 + 128 * 20 + 500
    decoded = 10 * 20**2 / 2 + 4096 + 50 * 10**2 / 2  # of the retain set, as many as are decoded at most
    assert (fast["evaluate"], fast["attack"]) == (scored, 0)
    assert (standard["evaluate"], standard["attack"]) == (scored + decoded, 4 * 200)
    assert fast["prepare"] == 200 + 8000 + 500


def test_a_reference_model_is_measured_too():
    reference = {"source": "org/ref", "revision": "c0ffee", "weights_sha256": "cd" * 32}
    base_model = a_base_model().model_validate(a_base_model().model_dump() | {"reference": reference})

    tokens = planned(LokuOptions(), base_model=base_model).tokens

    assert tokens["baseline"] == 2 * tokens["evaluate"]


def test_a_retain_set_of_its_own_takes_the_place_of_the_registered_one():
    own = SetSize(num_items=2, num_tokens=14, longest=9)

    workload = planned(NpoOptions(max_steps=1, batch_size=4), own_retain=own)

    assert workload.tokens["train"] == 3 * (4 * 20 + 14)
    assert workload.batch_tokens == 4 * 30 + 2 * 9
    assert not workload.shares_statistics
    assert planned(NpoOptions()).shares_statistics


def test_a_method_that_keeps_on_the_general_corpus_trains_on_it():
    general = SetSize(num_items=100, num_tokens=5000, longest=64)
    base_model = a_base_model().model_copy(update={"sizes": some_sizes().model_copy(update={"general": general})})

    workload = planned(GaGdGeneralOptions(max_steps=1, batch_size=4), base_model=base_model)

    assert workload.tokens["train"] == 3 * (4 * 20 + 4 * 50)


def test_texts_that_the_model_writes_itself_stand_in_for_sets_that_are_not_there():
    sizes = some_sizes().model_copy(update={"retain": None})
    base_model = a_base_model(retain_set_id=None).model_copy(update={"sizes": sizes})

    workload = planned(NpoOptions(max_steps=1, batch_size=4, self_generated=True), base_model=base_model)

    assert workload.tokens["train"] == 3 * (4 * 20 + 4 * 64)


@pytest.mark.parametrize(
    ("targets", "features"),
    [
        ("all-linear", 5 * (4 * 512 + 2 * 1280)),
        (["q_proj", "v_proj"], 5 * 2 * 512),
        (["attn.attention.q_proj"], 5 * 512),
        (["transformer.h.3.mlp.c_fc"], 1280),
        (["fc"], 0),
    ],
)
def test_an_adapter_has_its_rank_times_what_goes_in_and_out_of_its_layers(targets, features):
    assert planned(NpoOptions(r=8, target_modules=targets)).adapter_entries == 8 * features


def test_what_a_token_keeps_is_34_bytes_for_each_unit_of_a_layer_and_three_values_for_each_word():
    assert planned(NpoOptions()).values_per_token == 17 * 5 * 256 + 3 * 1000


def test_an_edit_reads_its_facts_in_every_context_and_trains_nothing():
    workload = planned(LawOptions(contexts=1, target_steps=10, moment_items=100))

    assert workload.tokens["initialize"] == 3 * 10 * 200 * 2
    assert workload.tokens["fisher"] == 100 * 20
    assert "train" not in workload.tokens
    assert (workload.steps, workload.adapter_entries, workload.batch_tokens) == (None, 0, 0)
