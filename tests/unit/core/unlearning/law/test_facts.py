import pytest

from core.domain.errors import UnsupportedBaseModelError
from core.domain.items import FactItem, PairItem
from core.unlearning.law.facts import encode_facts
from tests.fakes.tiny_models import byte_tokenizer
from tests.unit.core.unlearning.law.conftest import encoder

ADA = FactItem(id="ada", subject="Ada", prompt="Is Ada, who is no Adam, here? Ada", completion=" is")


def text(row):
    return byte_tokenizer().decode(row.example.tokens[: row.subject + 1])


def test_rows_end_their_subject_where_it_last_is():
    (fact,) = encode_facts(encoder(), [ADA], ["So. "])

    assert text(fact.plain) == "Is Ada, who is no Adam, here? Ada"
    assert [text(row) for row in fact.in_contexts] == ["So. Is Ada, who is no Adam, here? Ada"]
    assert byte_tokenizer().decode(fact.plain.example.answer) == " is"


def test_essence_is_the_subject_alone():
    (fact,) = encode_facts(encoder(), [ADA], [])

    assert text(fact.essence) == "Ada"
    assert fact.essence.example.first_label == len("Ada")
    assert fact.essence.example.num_labels == 1


def test_fact_that_fills_the_context_length_is_taken():
    longest = FactItem(id="a", subject="Ada", prompt="Ada", completion=" " + 40 * "x")

    (fact,) = encode_facts(encoder(max_tokens=45), [longest], [])

    assert len(fact.plain.example.tokens) == 45


def test_context_that_does_not_fit_is_left_out():
    room = len(ADA.prompt + ADA.completion) + 1

    (fact,) = encode_facts(encoder(max_tokens=room + 4), [ADA], ["So. ", "Longer. "])

    assert [text(row)[:4] for row in fact.in_contexts] == ["So. "]


def test_tokens_are_counted_over_all_rows():
    (fact,) = encode_facts(encoder(), [ADA], ["So. "])

    rows = [fact.plain, *fact.in_contexts, fact.essence]
    assert fact.num_tokens == sum(len(row.example.tokens) for row in rows)


def test_item_without_a_subject_is_refused_without_its_text():
    with pytest.raises(UnsupportedBaseModelError, match="item b names no subject") as refused:
        encode_facts(encoder(), [PairItem(id="b", prompt="secret", completion="x")], [])

    assert "secret" not in str(refused.value)
