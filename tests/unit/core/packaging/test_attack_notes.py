import typing

import pytest

from core.evaluation.attacks import ATTACKS, prompts, quantisation, relearning
from core.packaging.attack_notes import ATTACK_NOTES, attack_sentence, attack_title, summary_title
from tests.unit.core.packaging.reports import make_attack


def test_every_attack_is_explained():
    assert ATTACKS.keys() <= ATTACK_NOTES.keys()


@pytest.mark.parametrize(
    ("name", "variants"),
    [
        (relearning.NAME, relearning.VARIANTS),
        (quantisation.NAME, typing.get_args(quantisation.Variant)),
        (prompts.NAME, prompts.FAMILIES),
    ],
)
def test_every_variant_is_explained(name, variants):
    assert ATTACK_NOTES[name].variants.keys() == set(variants)


def test_variant_without_a_note_is_shown_by_its_own_name():
    attack = make_attack(variant="on_the_moon")

    assert attack_title(attack) == "Relearning: on the moon"
    assert attack_sentence(attack) == ATTACK_NOTES["relearning"].sentence


def test_attack_without_a_note_is_shown_by_its_own_name():
    assert attack_title(make_attack(name="soft_prompts", variant="long")) == "Soft prompts: long"


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("steps_to_half_extraction_strength", "Steps until half of it is back: extraction strength"),
        (
            "reference_steps_to_half_exact_memorization",
            "Steps until the reference has half of it: exact memorization",
        ),
        (
            "difference_extraction_strength",
            "Above what it is compared with, at the worst point of an item: extraction strength",
        ),
        ("difference_low_extraction_strength", "Its 95 % interval from: extraction strength"),
        ("items_above_half_low", "Its 95 % interval from"),
        ("something_new", "Something new"),
    ],
)
def test_numbers_of_a_summary_are_named(name, title):
    assert summary_title(name) == title
