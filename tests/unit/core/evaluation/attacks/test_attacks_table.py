import re
from pathlib import Path

import pytest
import torch

import core.evaluation
from core.domain.errors import LeaseLostError
from core.evaluation.attacks import ATTACKS
from tests.fakes.unlearned_model import BENIGN, FORGET, NEIGHBOURS, all_of, same, scene, trained_on

FIELDS = ["Attack", "Budget", "Cost", "Reports", "Source", "Limits"]


def sections():
    _, _, attacks = (Path(core.evaluation.__file__).parent / "README.md").read_text().partition("\n# Attacks\n")
    chapter = re.split(r"^# ", attacks, flags=re.MULTILINE)[0]
    _, *parts = re.split(r"^## (.+)$", chapter, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_readme_has_a_section_for_each_attack_and_no_other():
    assert sections().keys() == ATTACKS.keys()


def test_readme_section_says_everything_about_its_attack():
    for name, section in sections().items():
        assert re.findall(r"^- \*\*(\w+)\*\*", section, flags=re.MULTILINE) == FIELDS, name


def test_each_class_is_named_after_its_file():
    assert {name: type(attack).__name__ for name, attack in ATTACKS.items()} == {
        name: name.title().replace("_", "") for name in ATTACKS
    }


def test_every_attack_tells_its_cost_and_names_itself():
    attacked = scene(neighbours=NEIGHBOURS[:1], benign=BENIGN[:1], forget=FORGET[:2])

    for name, attack in ATTACKS.items():
        assert attack.cost(attacked) > 0
        assert {result.name for result in attack(attacked)} == {name}


def failing(model, error, *, after=0):
    """Let the model's passes fail from some pass on."""
    passes = iter(range(after))

    def fail(*_):
        if next(passes, None) is None:
            raise error

    getattr(model, model.base_model_prefix).register_forward_pre_hook(fail)


def full_scene():
    return scene(
        neighbours=NEIGHBOURS[:2], benign=BENIGN[:2], shots=NEIGHBOURS, reference=trained_on(BENIGN), forget=FORGET[:3]
    )


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("2 GiB"), "the device has too little memory for it"),
        (ValueError("not finite: Code 1 is"), "a computation failed (ValueError)"),
    ],
)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_that_fails_is_absent_and_leaves_the_models_as_they_were(name, error, reason, after):
    attacked = full_scene()
    models = [attacked.model, attacked.reference]
    before = [(all_of(model), [id(module) for module in model.modules()], model.training) for model in models]
    failing(attacked.model, error, after=after)

    results = ATTACKS[name](attacked)

    assert reason in {result.absent for result in results}
    assert all((result.attacked is None) == (result.absent is not None) for result in results)
    for model, (tensors, modules, training) in zip(models, before, strict=True):
        assert same(tensors, all_of(model))
        assert ([id(module) for module in model.modules()], model.training) == (modules, training)
    assert all(layer.enabled for layer in attacked.adapter.layers.values())


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_that_fails_on_the_reference_is_told_without_it(name):
    attacked = full_scene()
    failing(attacked.reference, torch.OutOfMemoryError())

    for result in ATTACKS[name](attacked):
        if result.attacked is not None:
            assert (result.reference, result.missing["reference"]) == (None, "the device has too little memory for it")


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attempt_that_lost_its_job_ends_within_an_attack_too(name):
    attacked = full_scene()
    failing(attacked.model, LeaseLostError())

    with pytest.raises(LeaseLostError):
        ATTACKS[name](attacked)
