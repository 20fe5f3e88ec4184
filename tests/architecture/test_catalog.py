import re
import typing
from collections import Counter
from pathlib import Path

import pytest

from core.domain.catalog import DEFAULT_METHOD, METHOD_OPTIONS
from core.domain.options import Initializer, TrainedOptions
from core.evaluation.attacks import ATTACKS
from core.evaluation.membership import MEMBERSHIP_SCORES
from core.evaluation.metrics import METRICS
from core.modeling.base_model import BaseModel
from core.unlearning.forget_loss import Surroundings
from core.unlearning.methods import METHODS, forget_loss
from tests.fakes.tiny_models import byte_tokenizer, tiny_model
from tests.unit.core.unlearning.conftest import rows

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core"
TESTS = ROOT / "tests" / "unit" / "core"
NO_SCORES = {"score", "inference", "auc", "priv_leak"}  # in the room of the membership scores: what is made of them
TRAINED = {name: options for name, options in METHOD_OPTIONS.items() if issubclass(options, TrainedOptions)}


def modules_in(directory):
    return {path.stem for path in (CORE / directory).glob("*.py")} - {"__init__"}


def covered_in(directory):
    return {path.stem.removeprefix("test_") for path in (TESTS / directory).glob("test_*.py")}


def sections_of(readme):
    return set(re.findall(r"^## (\w+)$", readme.read_text(), re.MULTILINE))


def sections_by_method(readme):
    """Return the file of a forget loss that the section of each method is about."""
    sections = re.findall(r"^## ([\w, ]+)\n\n`(\w+)\.py`$", readme.read_text(), re.MULTILINE)
    return {name: module for names, module in sections for name in names.split(", ")}


@pytest.fixture(scope="module")
def made():
    """The file of the forget loss that each method is made with."""
    base = BaseModel(model=tiny_model("gpt_neo"), tokenizer=byte_tokenizer(), path=None)
    around = Surroundings(base, rows(2, seed=0), seed=0)
    losses = {name: forget_loss(options(), around) for name, options in TRAINED.items()}
    return {name: type(loss).__module__.rpartition(".")[2] for name, loss in losses.items()}


def test_the_api_offers_exactly_the_methods_that_workers_have():
    assert TRAINED.keys() == METHODS.keys()
    assert DEFAULT_METHOD in METHODS


@pytest.mark.parametrize("name", METHOD_OPTIONS)
def test_options_carry_the_name_of_their_method(name):
    assert METHOD_OPTIONS[name]().name == name


def test_every_file_of_a_forget_loss_is_some_methods(made):
    assert modules_in("unlearning/methods") == set(made.values())


def test_every_forget_loss_has_its_tests():
    assert modules_in("unlearning/methods") == covered_in("unlearning/methods")


def test_initializers_that_may_be_chosen_are_those_that_have_a_file_and_tests():
    choices = set(typing.get_args(Initializer))
    assert choices == modules_in("unlearning/initializers")
    assert choices - {"lora"} <= covered_in("unlearning")  # plain LoRA is in the tests of all initializers


def test_every_forget_loss_has_its_section_and_the_section_names_its_methods(made):
    sections = sections_by_method(CORE / "unlearning" / "methods" / "README.md")
    assert set(sections.values()) == modules_in("unlearning/methods")
    assert sections.items() <= made.items()


def test_every_method_has_exactly_one_section():
    headings = Counter(
        name.strip()
        for readme in (CORE / "unlearning").rglob("README.md")
        for heading in re.findall(r"^## (.+)$", readme.read_text(), re.MULTILINE)
        for name in heading.split(",")
    )
    assert {name: headings[name] for name in METHOD_OPTIONS} == dict.fromkeys(METHOD_OPTIONS, 1)


def test_every_metric_has_its_file_its_section_and_its_tests():
    assert METRICS.keys() == modules_in("evaluation/metrics")
    assert METRICS.keys() <= sections_of(CORE / "evaluation" / "README.md")
    assert METRICS.keys() <= covered_in("evaluation/metrics")


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_lives_in_the_file_of_its_name(name):
    assert type(METRICS[name]).__module__ == f"core.evaluation.metrics.{name}"


def test_every_membership_score_has_its_file_its_section_and_its_tests():
    assert MEMBERSHIP_SCORES.keys() == modules_in("evaluation/membership") - NO_SCORES
    assert MEMBERSHIP_SCORES.keys() <= sections_of(CORE / "evaluation" / "README.md")
    assert MEMBERSHIP_SCORES.keys() <= covered_in("evaluation/membership")


@pytest.mark.parametrize("name", MEMBERSHIP_SCORES)
def test_a_membership_score_lives_in_the_file_of_its_name(name):
    assert type(MEMBERSHIP_SCORES[name]).__module__ == f"core.evaluation.membership.{name}"


def test_every_attack_has_its_file_its_section_and_its_tests():
    assert ATTACKS.keys() == modules_in("evaluation/attacks")
    assert ATTACKS.keys() <= sections_of(CORE / "evaluation" / "README.md")
    assert ATTACKS.keys() <= covered_in("evaluation/attacks")


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_lives_in_the_file_of_its_name(name):
    assert type(ATTACKS[name]).__module__ == f"core.evaluation.attacks.{name}"
