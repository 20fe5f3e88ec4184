import re
import typing
from pathlib import Path

import pytest

from core.domain.catalog import DEFAULT_METHOD, METHOD_OPTIONS
from core.evaluation.metrics import METRICS
from core.unlearning.methods import METHODS

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core"
TESTS = ROOT / "tests" / "unit" / "core"


def modules_in(directory):
    return {path.stem for path in (CORE / directory).glob("*.py")} - {"__init__"}


def sections_of(readme):
    return set(re.findall(r"^## (\w+)$", (CORE / readme).read_text(), re.MULTILINE))


def test_the_api_offers_exactly_the_methods_that_workers_have():
    assert METHOD_OPTIONS.keys() == METHODS.keys()
    assert DEFAULT_METHOD in METHODS


@pytest.mark.parametrize("name", METHOD_OPTIONS)
def test_options_carry_the_name_of_their_method(name):
    assert METHOD_OPTIONS[name]().name == name


def test_every_file_of_a_forget_loss_is_some_methods():
    used = {type(loss).__module__.rpartition(".")[2] for loss in METHODS.values()}
    assert modules_in("unlearning/methods") == used


def test_every_forget_loss_has_its_tests():
    for module in modules_in("unlearning/methods"):
        assert list((TESTS / "unlearning").rglob(f"test_{module}.py")), module


@pytest.mark.parametrize("name", METHOD_OPTIONS)
def test_an_initializer_that_may_be_chosen_has_its_file(name):
    choices = typing.get_args(METHOD_OPTIONS[name].model_fields["initializer"].annotation)
    assert set(choices) == modules_in("unlearning/initializers")


def test_every_method_has_its_section():
    assert METHODS.keys() <= sections_of("unlearning/README.md")


def test_every_metric_has_its_file_its_section_and_its_tests():
    assert METRICS.keys() == modules_in("evaluation/metrics")
    assert METRICS.keys() <= sections_of("evaluation/README.md")
    tested = {path.stem.removeprefix("test_") for path in (TESTS / "evaluation" / "metrics").glob("test_*.py")}
    assert METRICS.keys() <= tested


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_lives_in_the_file_of_its_name(name):
    assert type(METRICS[name]).__module__ == f"core.evaluation.metrics.{name}"
