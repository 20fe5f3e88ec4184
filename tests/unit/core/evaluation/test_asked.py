import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.base_model import TextFormat
from core.domain.items import TextItem
from core.evaluation.asked import asked_for
from core.evaluation.attack import NoAttackError
from tests.fakes.unlearned_model import ENCODE, pair, text


def test_a_pair_is_asked_for_by_its_prompt():
    asked = asked_for(pair(1), ENCODE)

    assert (asked.pair, asked.encode, asked.is_text) == (pair(1), ENCODE, False)


def test_a_text_is_asked_for_by_its_first_half_and_read_as_the_text_that_it_is():
    asked = asked_for(text(4), ENCODE)

    (halves,), (whole,) = asked.encode([asked.pair]), ENCODE([text(4)])
    assert asked.is_text
    assert halves.tokens == whole.tokens
    assert ENCODE.tokenizer.decode(halves.answer) == asked.pair.completion
    assert asked.encode.text_format == TextFormat(ends_with_eos=False)


@given(st.text(min_size=2).filter(lambda words: len(words.strip()) > 1))
def test_halves_of_a_text_are_the_text_and_neither_is_empty(words):
    found = asked_for(TextItem.model_construct(id="a", text=words), ENCODE).pair

    assert found.prompt + found.completion == words
    assert found.prompt.strip()
    assert found.completion.strip()


def test_a_text_of_one_letter_has_no_halves():
    with pytest.raises(NoAttackError, match="too short"):
        asked_for(TextItem(id="a", text="a"), ENCODE)
