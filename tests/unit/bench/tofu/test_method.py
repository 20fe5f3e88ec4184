import pytest

from bench.tofu.data import TofuError
from bench.tofu.method import Method


def test_options_of_a_spec_replace_defaults():
    options = Method("ihl:initializer=fila,retain_weight=0.5").options(seed=3, max_steps=60)

    assert (options.name, options.initializer, options.retain_weight) == ("ihl", "fila", 0.5)
    assert (options.seed, options.max_steps) == (3, 60)


def test_a_method_of_several_batches_a_step_has_as_many_fewer_steps():
    options = Method("ofmu").options(seed=1, max_steps=60)

    assert options.max_steps == 60 // options.batches_a_step < 60


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("forget_it", "no method is called forget_it"),
        ("law", "law needs facts"),
        ("ihl:depth=3", "no such option, or not this value: depth"),
        ("ihl:initializer", "write options as"),
    ],
)
def test_a_spec_that_cannot_be_run_is_refused(spec, words):
    with pytest.raises(TofuError, match=words):
        Method(spec).options(seed=1, max_steps=60)
