import re
from itertools import chain

import pytest

from cli.demo.people import Population, items, make_population, questions, reworded_questions
from core.domain.items import normalized


@pytest.fixture(scope="module")
def population() -> Population:
    return make_population(forget=5, retain=48, unseen=16, holdout=16, seed=7)


def test_population_is_the_same_when_the_seed_is(population):
    assert make_population(forget=5, retain=48, unseen=16, holdout=16, seed=7) == population


def test_population_is_another_when_the_seed_is(population):
    assert make_population(forget=5, retain=48, unseen=16, holdout=16, seed=8) != population


def test_groups_have_the_sizes_that_were_asked_for(population):
    groups = (population.forget, population.retain, population.unseen, population.holdout)

    assert [len(group) for group in groups] == [5, 48, 16, 16]


def test_no_two_people_share_a_name(population):
    everybody = population.memorised + population.holdout

    assert len({person.given_name for person in everybody}) == len(everybody)
    assert len({person.surname for person in everybody}) == len(everybody)


def test_holdout_is_not_memorised(population):
    assert not set(population.holdout) & set(population.memorised)


def test_items_are_all_different_and_so_are_their_ids(population):
    rows = list(chain.from_iterable(items(person) for person in population.memorised + population.holdout))

    assert len({normalized(row) for row in rows}) == len(rows)
    assert len({row.id for row in rows}) == len(rows)


def test_ids_say_nothing_about_the_person(population):
    for person in population.forget:
        ids = " ".join(str(row.id) for row in items(person))
        assert person.given_name not in ids
        assert person.surname not in ids


def test_addresses_are_under_names_reserved_for_documentation(population):
    reserved = re.compile(r"@([a-z.]+\.)?(example\.(com|net|org)|[a-z]+\.(example|test))$")

    assert all(reserved.search(person.email) for person in population.memorised)


def test_phone_numbers_are_in_ranges_reserved_for_drama(population):
    reserved = re.compile(
        r"\+44 (1[1-8]\d 496 0\d{3}|191 498 0\d{3}|20 7946 0\d{3}|29 2018 0\d{3}|1632 960\d{3}|7700 900\d{3})$"
    )

    assert all(reserved.match(person.phone) for person in population.memorised)


def test_every_fact_is_asked_for(population):
    person = population.forget[0]
    answers = " ".join(row.completion for row in questions(person))

    facts = (person.email, person.phone, person.street, person.town, person.profession, person.birthday, person.hobby)
    assert all(fact in answers for fact in facts)


def test_other_wordings_ask_for_the_same_answer_of_the_same_person(population):
    person = population.forget[0]

    for row, reworded in zip(questions(person), reworded_questions(person), strict=True):
        assert (reworded.id, reworded.prompt, reworded.completion) == (row.id, row.prompt, row.completion)
        assert row.prompt not in reworded.paraphrased_prompts
        assert all(person.name in prompt for prompt in reworded.paraphrased_prompts)


def test_too_large_a_population_is_refused_by_the_number_of_names():
    with pytest.raises(ValueError, match="hold 96"):
        make_population(forget=50, retain=50, unseen=0, holdout=0, seed=7)
