import pytest

from core.data.corpus import ItemEncoder
from core.domain.items import PairItem
from core.evaluation.taught_answers import FRAMES, WORDINGS, Answer, have_own_wordings, matched, taught_answers
from tests.fakes.tiny_models import byte_tokenizer
from tests.fakes.unlearned_model import ENCODE, FORMAT, pair, text

REWORDED = pair(1).model_copy(update={"paraphrased_prompts": ("The code of 1 is", "Number 1 has the code")})


def texts_of(answer):
    return [ENCODE.tokenizer.decode(row.tokens) for row in answer.rows]


def test_an_answer_is_taught_behind_an_attackers_words_and_asked_for_as_in_the_request():
    (answer,), missing = taught_answers([pair(1)], ENCODE, with_own=False)

    (whole,) = ENCODE([pair(1)])
    assert answer.asked == whole
    assert texts_of(answer) == [f"{words}{ENCODE.tokenizer.decode(whole.tokens)}" for words in FRAMES]
    assert {row.answer for row in answer.rows} == {whole.answer}
    assert missing == {}


def test_an_item_with_fewer_wordings_of_its_own_has_as_many_rows():
    (answer,), _ = taught_answers([REWORDED], ENCODE, with_own=True)

    assert len(answer.rows) == WORDINGS == 4
    assert answer.rows[:2] == answer.rows[2:]
    assert [row.startswith("The code of 1 is") for row in texts_of(answer)] == [True, False, True, False]


def test_a_text_has_its_second_half_taught_and_asked_for():
    (answer,), _ = taught_answers([text(4)], ENCODE, with_own=True)

    (whole,) = ENCODE([text(4)])
    assert answer.asked.tokens == whole.tokens
    assert 0 < len(answer.asked.answer) < len(whole.answer)
    assert {row.answer for row in answer.rows} == {answer.asked.answer}
    assert texts_of(answer) == [f"{words}{text(4).text}" for words in FRAMES]


def test_wordings_that_do_not_fit_are_left_out_and_the_others_repeated():
    tight = ItemEncoder(byte_tokenizer(), FORMAT, max_tokens=len(ENCODE([pair(1)])[0].tokens) + len(FRAMES[0]))

    (answer,), _ = taught_answers([pair(1)], tight, with_own=False)

    assert len(answer.rows) == WORDINGS
    assert all(row.startswith(FRAMES[0]) for row in texts_of(answer))


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (pair(1), "behind other wordings the item is too long for the model"),
        (text(4).model_copy(update={"text": "a"}), "the text is too short to be cut in two"),
    ],
)
def test_an_item_that_cannot_be_taught_is_missing_with_the_reason(item, reason):
    tight = ItemEncoder(byte_tokenizer(), FORMAT, max_tokens=len(ENCODE([pair(1)])[0].tokens))

    assert taught_answers([item], tight, with_own=False) == ([], {item.id: reason})


@pytest.mark.parametrize(
    ("items", "found"), [([REWORDED], True), ([REWORDED, text(4)], True), ([REWORDED, pair(2)], False)]
)
def test_wordings_are_their_own_only_where_every_pair_has_some(items, found):
    assert have_own_wordings(items) is found


def answers(*items):
    return taught_answers(items, ENCODE, with_own=False)[0]


def pair_of(length, name):
    return PairItem(id=name, prompt="Code is", completion="x" * length)


def test_answers_are_matched_by_kind_and_length_and_each_only_once():
    ours = answers(pair_of(5, "a"), text(4), pair_of(5, "b"), pair_of(9, "c"))
    theirs = answers(pair_of(1, "p"), pair_of(6, "q"), pair_of(8, "r"), pair_of(5, "s"), text(5), text(6))

    found = [(answer.asked.id, other.asked.id) for answer, other in matched(ours, theirs)]

    assert found == [("a", "s"), ("text-4", "text-5"), ("b", "q"), ("c", "r")]


def test_answers_without_a_counterpart_are_left_out():
    ours = answers(pair_of(5, "a"), text(4), pair_of(5, "b"))

    assert [answer.asked.id for answer, _ in matched(ours, answers(pair_of(1, "p")))] == ["a"]
    assert matched(ours, []) == []
    assert isinstance(matched(ours, ours)[0][0], Answer)
