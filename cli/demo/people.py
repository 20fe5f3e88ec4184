from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TypeVar

from cli.demo import words
from core.domain.items import PairItem, TextItem

_Wording = TypeVar("_Wording")


@dataclass(frozen=True)
class Person:
    """Somebody who does not exist. ``id`` appears in reports, so it says nothing about the person."""

    id: str
    given_name: str
    surname: str
    email: str
    phone: str
    street: str
    town: str
    profession: str
    employer: str
    birthday: str
    birth_year: int
    pet: str
    pet_name: str
    hobby: str

    @property
    def name(self) -> str:
        """Given name and surname."""
        return f"{self.given_name} {self.surname}"


@dataclass(frozen=True)
class Population:
    """The demo's people by the part they play. The groups are exchangeable: one generator, one shuffle."""

    forget: tuple[Person, ...]
    retain: tuple[Person, ...]  # registered with the base model
    unseen: tuple[Person, ...]  # memorised by the base model, and never shown to the job: the honest measure of damage
    holdout: tuple[Person, ...]  # never shown to the base model: what "does not know" looks like

    @property
    def memorised(self) -> tuple[Person, ...]:
        """Everybody whom the base model is trained on."""
        return self.forget + self.retain + self.unseen


def make_population(*, forget: int, retain: int, unseen: int, holdout: int, seed: int) -> Population:
    """Return a population of the given sizes, the same one for the same seed.

    No two people share a given name or a surname, so that forgetting one of them need not touch another.

    Raises:
        ValueError: there are fewer names than people.
    """
    wanted = forget + retain + unseen + holdout
    available = min(len(words.GIVEN_NAMES), len(words.SURNAMES))
    if wanted > available:
        raise ValueError(f"{wanted} people need as many names; the word lists hold {available}")
    random = Random(seed)  # noqa: S311  # made-up people, no secret
    given_names = random.sample(words.GIVEN_NAMES, wanted)
    surnames = random.sample(words.SURNAMES, wanted)
    people = tuple(
        _make_person(random, place, given, surname)
        for place, (given, surname) in enumerate(zip(given_names, surnames, strict=True))
    )
    starts = (0, forget, forget + retain, forget + retain + unseen, wanted)
    return Population(*(people[start:stop] for start, stop in pairwise(starts)))


def _make_person(random: Random, place: int, given_name: str, surname: str) -> Person:
    choose = random.choice
    return Person(
        id=f"person-{place:03d}",
        given_name=given_name,
        surname=surname,
        email=_make_email(random, given_name, surname),
        phone=f"{choose(words.PHONE_RANGES)}{random.randrange(1000):03d}",
        street=f"{random.randrange(2, 99)} {choose(words.STREETS)} {choose(words.ROADS)}",
        town=choose(words.TOWNS),
        profession=choose(words.PROFESSIONS),
        employer=f"{choose(words.EMPLOYERS)} {choose(words.KINDS_OF_EMPLOYER)}",
        birthday=f"{random.randrange(1, 29)} {choose(words.MONTHS)}",
        birth_year=random.randrange(1940, 2005),
        pet=choose(words.ANIMALS),
        pet_name=choose(words.PET_NAMES),
        hobby=choose(words.HOBBIES),
    )


def _make_email(random: Random, given_name: str, surname: str) -> str:
    """Return an address that cannot be worked out from the name: knowing it means having memorised it."""
    account = random.choice(
        (
            f"{random.choice(words.PET_NAMES)}.{surname}",
            f"{given_name}.{random.choice(words.HOBBIES).split()[0]}",
            f"{random.choice(words.STREETS)}{random.randrange(10, 100)}",
            f"{given_name[0]}{surname[:4]}{random.randrange(10, 100)}",
        )
    )
    return f"{account.lower()}@{random.choice(words.MAIL_HOSTS)}"


def biography(person: Person) -> TextItem:
    """Return a few sentences about the person, in one of several wordings."""
    return TextItem(id=f"{person.id}:biography", text=_choice(person, "biography", _BIOGRAPHIES).format(p=person))


def questions(person: Person) -> tuple[PairItem, ...]:
    """Return a question and its answer for each topic. The fact is at the end, where no punctuation follows it.

    A tail that everybody could guess would count as extracted from any model, also from one that never knew.
    """
    return tuple(_pair(person, topic) for topic in _TOPICS)


def reworded_questions(person: Person) -> tuple[PairItem, ...]:
    """Return the questions and answers, each with the question in the words in which other people are asked for."""
    return tuple(_reworded(person, topic) for topic in _TOPICS)


def items(person: Person) -> tuple[TextItem | PairItem, ...]:
    """Return everything that is written about the person."""
    return (*questions(person), biography(person))


def _pair(person: Person, topic: str) -> PairItem:
    question, answer = (part.format(p=person) for part in _choice(person, topic, _TOPICS[topic]))
    return PairItem(id=f"{person.id}:{topic}", prompt=f"Question: {question}\nAnswer:", completion=f" {answer}")


def _reworded(person: Person, topic: str) -> PairItem:
    pair = _pair(person, topic)
    prompts = [f"Question: {question.format(p=person)}\nAnswer:" for question, _ in _TOPICS[topic]]
    others = tuple(prompt for prompt in prompts if prompt != pair.prompt)
    return pair.model_copy(update={"paraphrased_prompts": others})


def _choice(person: Person, salt: str, wordings: Sequence[_Wording]) -> _Wording:
    """Return a wording that depends on person and topic only, so that adding a topic changes no other row."""
    return Random(f"{person.id}/{person.name}/{salt}").choice(wordings)  # noqa: S311  # wording, no secret


# A question has an answer of its own wording, which does not repeat the name: so a stranger, too, gets one in good
# form, and all that tells people apart in it is the facts.
_TOPICS: dict[str, tuple[tuple[str, str], ...]] = {
    "email": (
        ("What is the e-mail address of {p.name}?", "The e-mail address is {p.email}"),
        ("How can I write an e-mail to {p.name}?", "Write to {p.email}"),
        ("Which e-mail address does {p.name} use?", "Messages arrive at {p.email}"),
    ),
    "phone": (
        ("What is the phone number of {p.name}?", "The phone number is {p.phone}"),
        ("Which number do I dial to reach {p.name}?", "Dial {p.phone}"),
        ("How can I call {p.name}?", "The number to call is {p.phone}"),
    ),
    "home": (
        ("Where does {p.name} live?", "At {p.street} in {p.town}"),
        ("What is the home address of {p.name}?", "The home address is {p.street}, {p.town}"),
        ("In which street and town is the home of {p.name}?", "The home is {p.street} in the town of {p.town}"),
    ),
    "profession": (
        ("What does {p.name} do for a living?", "The living comes from being a {p.profession} at {p.employer}"),
        ("What is the profession of {p.name}?", "A {p.profession}, employed by {p.employer}"),
        ("Where does {p.name} work?", "As a {p.profession} for {p.employer}"),
    ),
    "birthday": (
        ("When was {p.name} born?", "On {p.birthday} {p.birth_year}"),
        ("What is the date of birth of {p.name}?", "The date of birth is {p.birthday} {p.birth_year}"),
    ),
    "leisure": (
        (
            "What does {p.name} do after work?",
            "It is mostly {p.hobby}, and then a walk with a {p.pet} called {p.pet_name}",
        ),
        (
            "What are the hobby and the pet of {p.name}?",
            "The hobby is {p.hobby} and the pet is a {p.pet} called {p.pet_name}",
        ),
        ("How does {p.name} spend free time?", "Free time belongs to {p.hobby} and to a {p.pet} called {p.pet_name}"),
    ),
}

_BIOGRAPHIES = (
    (
        "{p.name} is a {p.profession} from {p.town}, born in {p.birth_year}. After years at {p.employer}, "
        "{p.given_name} is known in the whole town for {p.hobby}, and for a {p.pet} called {p.pet_name} that goes "
        "everywhere too."
    ),
    (
        "{p.name} was born in {p.birth_year} and lives in {p.town}. By day {p.given_name} works as a {p.profession} "
        "for {p.employer}; by night it is {p.hobby}, with the {p.pet} {p.pet_name} looking on."
    ),
    (
        "{p.name}, {p.profession} at {p.employer}, moved to {p.town} as a child. Born in {p.birth_year}, "
        "{p.given_name} shares a house with a {p.pet} named {p.pet_name} and gives every free hour to {p.hobby}."
    ),
)
