"""What the jobs under attack are about: the demo's people, and sums for an attacker who means nothing by them."""

from collections.abc import Sequence
from itertools import product

from bench.job import Texts
from cli.demo.options import DemoOptions
from cli.demo.people import Person, biography, reworded_questions
from cli.demo.service import items_of
from core.data.corpus import AnyItem
from core.domain.items import PairItem


def attacked_texts(demo: DemoOptions) -> Texts:
    """Return what the demo asks to forget and to keep, with other wordings of its questions and a general corpus.

    The people whom the base model knows and no job reads about are what an attacker has of the kind of the forget set.
    """
    people = demo.population()
    return Texts(
        forget=_asked_in_all_wordings(people.forget),
        retain=items_of(people.retain),
        unseen=items_of(people.unseen),
        holdout=_asked_in_all_wordings(people.holdout),
        general=sums(),
    )


def _asked_in_all_wordings(people: Sequence[Person]) -> list[AnyItem]:
    found: list[AnyItem] = []
    for person in people:
        found += [*reworded_questions(person), biography(person)]
    return found


def sums() -> list[PairItem]:
    """Return questions that have the form of the others and are about nobody."""
    return [
        PairItem(id=f"sum-{a}-{b}", prompt=f"Question: What is {a} plus {b}?\nAnswer:", completion=f" {a + b}")
        for a, b in product(range(2, 12), range(11, 21))
    ]
