import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from core.domain.items import FactItem, Item, PairItem, TextItem, characters, normalized, subject_end, wordings

ITEM = TypeAdapter(Item)
TEXTS = st.text(min_size=1).filter(lambda text: any(unicodedata.category(letter)[0] not in "ZC" for letter in text))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"text": "a"}, TextItem),
        ({"prompt": "a", "completion": "b"}, PairItem),
        ({"subject": "c", "prompt": "a", "completion": "b"}, FactItem),
    ],
)
def test_the_fields_decide_the_shape(body: dict[str, str], kind: type):
    assert type(ITEM.validate_python(body)) is kind
    assert type(ITEM.validate_python({**body, "id": "x"})) is kind


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": ""},
        {"text": " \n\t"},
        {"text": "a", "extra": "b"},
        {"text": "a", "prompt": "b", "completion": "c"},
        {"prompt": "a"},
        {"completion": "b"},
        {"subject": "a", "prompt": "b"},
        {"prompt": "a", "completion": "  "},
        {"text": "\u200b"},
        {"prompt": "a", "completion": " \u2060\ufeff\u00a0\u00ad"},
        {"text": "a", "id": ""},
        {"text": "a", "id": "with space"},
        {"text": "a", "id": "x" * 65},
        {"text": 7},
        {"text": "\ud800"},
    ],
)
def test_another_body_is_refused(body: dict[str, object]):
    with pytest.raises(ValidationError) as refused:
        ITEM.validate_python(body)

    assert len({error["loc"][0] for error in refused.value.errors()}) == 1  # one shape is spoken of


def test_lists_of_other_wordings_are_taken_by_strict_validation_too():
    body = {"prompt": "a", "completion": "b", "perturbed_completions": ["c", "d"], "paraphrased_prompts": ["e"]}

    item = ITEM.validate_python(body, strict=True)

    assert (item.perturbed_completions, item.paraphrased_prompts) == (("c", "d"), ("e",))


def test_a_visible_character_among_invisible_ones_is_enough():
    assert TextItem(text="\u200ba").text == "\u200ba"


def test_an_item_keeps_its_white_space():
    assert PairItem(prompt="a ", completion=" b\n").completion == " b\n"


@given(text=TEXTS)
def test_identity_ignores_composition_and_the_width_of_white_space(text: str):
    plain = TextItem(text=text)
    spread = TextItem(text="  " + unicodedata.normalize("NFD", text).replace(" ", " \n ") + "\t")

    assert normalized(plain) == normalized(spread)


def test_identity_keeps_case_and_ignores_id_and_subject():
    pair = PairItem(id="a", prompt="Who?", completion="Ada")

    assert normalized(pair) == normalized(FactItem(id="b", subject="Ada", prompt="Who?", completion="Ada"))
    assert normalized(pair) != normalized(PairItem(prompt="Who?", completion="ada"))


def test_identity_is_the_text_that_a_model_reads_whatever_the_shape():
    assert normalized(PairItem(prompt="Who?", completion=" Ada")) == normalized(TextItem(text="Who? Ada"))


def test_characters_are_those_the_model_reads():
    assert characters(TextItem(text="Zoë ")) == 4
    assert characters(FactItem(subject="not counted", prompt="ab", completion="c")) == 3


@pytest.mark.parametrize(
    ("subject", "prompt", "end"),
    [
        ("Ada", "Ada is", 3),
        ("Ada", "Is Ada here? Ada", 16),
        (" Ada\n", "Is Ada here?", 6),
        ("Zoë", "Zoë is", 3),
        ("ada", "Ada is", None),
        ("Ada", "Who?", None),
    ],
)
def test_subject_ends_where_it_last_is_in_the_prompt(subject: str, prompt: str, end: int | None):
    assert subject_end(FactItem(subject=subject, prompt=prompt, completion="x")) == end


def test_wordings_are_what_is_measured_besides_the_item():
    item = PairItem(
        prompt="p",
        completion="c",
        paraphrased_completion="c2",
        perturbed_completions=("w1", "w2"),
        paraphrased_prompts=("p2",),
    )

    assert [(pair.prompt, pair.completion) for pair in wordings(item)] == [
        ("p", "c2"),
        ("p", "w1"),
        ("p", "w2"),
        ("p2", "c"),
    ]
    assert wordings(PairItem(prompt="p", completion="c")) == []
    assert wordings(TextItem(text="t")) == []


def test_wordings_are_no_part_of_an_items_identity():
    assert normalized(PairItem(prompt="p", completion="c", paraphrased_prompts=("q",))) == "p c"
