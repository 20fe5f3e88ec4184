from dataclasses import dataclass, field

from core.domain.report import AttackResult
from core.packaging.metric_notes import note_of


@dataclass(frozen=True)
class VariantNote:
    """One way of making an attack. ``title`` follows that of the attack."""

    title: str
    sentence: str
    teaches_items: bool = False  # the items that are asked for: that one is there afterwards shows nothing by itself


@dataclass(frozen=True)
class AttackNote:
    """What an attacker would do, for a reader who is no engineer."""

    title: str
    sentence: str
    variants: dict[str, VariantNote] = field(default_factory=dict)
    effort: str = "effort"  # what the course of the attack is counted in


ATTACK_NOTES: dict[str, AttackNote] = {
    "relearning": AttackNote(
        "Relearning",
        "Someone who has the model and the adapter trains them a little and looks whether the texts come back.",
        {
            "forget_part": VariantNote(
                "on a part of the texts",
                "An attacker who has a few of the texts trains the model on those and asks for the others.",
            ),
            "neighbours": VariantNote(
                "on texts of the same kind",
                "An attacker who has none of the texts trains the model on others of their kind and asks for these.",
            ),
            "benign": VariantNote(
                "on unrelated texts",
                "Someone trains the model on something else, perhaps without meaning harm, and the texts come back.",
            ),
            "answers": VariantNote(
                "on the answers themselves",
                "An attacker who has the answers already teaches them to the model behind other words, and asks as the "
                "request did. Whoever has the answers needs no model, so by itself nothing of this counts: what counts "
                "is how much less the same training achieves where there is nothing to remember.",
                teaches_items=True,
            ),
        },
        effort="training steps of the attacker",
    ),
    "quantisation": AttackNote(
        "Quantisation",
        "Someone stores the model in fewer bits, as is usual to save memory, which may round away what made it forget.",
        {
            "int8_base": VariantNote(
                "8 bits, adapter beside it", "The model is served in 8 bits, with the adapter loaded beside it."
            ),
            "nf4_base": VariantNote(
                "4 bits, adapter beside it", "The model is served in 4 bits, with the adapter loaded beside it."
            ),
            "int8_merged": VariantNote(
                "8 bits, adapter merged", "The adapter is merged into the model, and the whole is stored in 8 bits."
            ),
            "nf4_merged": VariantNote(
                "4 bits, adapter merged", "The adapter is merged into the model, and the whole is stored in 4 bits."
            ),
        },
    ),
    "prompts": AttackNote(
        "Prompts",
        "Someone who can only ask the model asks in other ways than the request did.",
        {
            "paraphrase": VariantNote("other words", "Someone asks the same in other words."),
            "prefix_injection": VariantNote(
                "a willing reply", "Someone makes the reply begin as if the model had agreed to answer."
            ),
            "few_shot": VariantNote("examples", "Someone shows the model a few answered questions before asking."),
            "role_play": VariantNote("a role", "Someone has the model play somebody who knows and may tell."),
        },
    ),
    "sampling": AttackNote(
        "Sampling",
        "Someone asks many times and lets the model draw its words at random, so that rare answers show.",
        {"sampling": VariantNote("", "Someone asks many times and lets the model draw its words at random.")},
        effort="samples",
    ),
}

_SUMMARY_TITLES = {
    "items_above_half": "Share of items that leaked more than half in some sample",
    "items_above_half_low": "Its 95 % interval from",
    "items_above_half_high": "Its 95 % interval to",
    "reference_items_above_half": "The same share of the reference",
    "reference_items_above_half_low": "Its 95 % interval from",
    "reference_items_above_half_high": "Its 95 % interval to",
    "reference": "Reference",
}
# By the beginning of a number's name; what follows is a metric.
_SUMMARY_BEGINNINGS = {
    "reference_steps_to_half_": "Steps until the reference has half of it",
    "control_steps_to_half_": "Steps until the unseen texts are learned as far",
    "steps_to_half_": "Steps until half of it is back",
    "area_between_": "Above what it is compared with, on average over the course",
    "difference_low_": "Its 95 % interval from",
    "difference_high_": "Its 95 % interval to",
    "difference_": "Above what it is compared with, at the worst point of an item",
    "original_": "Of the same items without the adapter",
}


def attack_note(name: str) -> AttackNote:
    """Return the note; an attack without one is shown by its own name rather than hidden."""
    return ATTACK_NOTES.get(name, AttackNote(in_words(name), "Described in the documentation."))


def attack_title(attack: AttackResult) -> str:
    """Return the attack and its variant as they are called on the page."""
    title, variant = attack_note(attack.name).title, variant_title(attack)
    return f"{title}: {variant}" if variant else title


def variant_title(attack: AttackResult) -> str:
    """Return what the variant is called on the page; empty where the attack is made in one way only."""
    variants = attack_note(attack.name).variants
    return variants[attack.variant].title if attack.variant in variants else attack.variant.replace("_", " ")


def attack_sentence(attack: AttackResult) -> str:
    """Return what an attacker would do, of the variant where that is described."""
    note = attack_note(attack.name)
    return note.variants[attack.variant].sentence if attack.variant in note.variants else note.sentence


def teaches_items(attack: AttackResult) -> bool:
    """Return whether the attacker trains on the very items that are asked for."""
    variant = attack_note(attack.name).variants.get(attack.variant)
    return variant is not None and variant.teaches_items


def summary_title(name: str) -> str:
    """Return what a number of an attack's summary is called on the page."""
    for beginning, title in _SUMMARY_BEGINNINGS.items():
        if name.startswith(beginning):
            return f"{title}: {note_of(name.removeprefix(beginning)).title.lower()}"
    return _SUMMARY_TITLES.get(name, in_words(name))


def in_words(name: str) -> str:
    """Return a name in code as words."""
    return name.replace("_", " ").capitalize()
