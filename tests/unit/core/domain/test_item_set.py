import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from core.domain.item_set import dump_items, load_items, with_ids
from core.domain.items import FactItem, PairItem, TextItem

TEXTS = st.text(min_size=1).filter(lambda text: any(unicodedata.category(letter)[0] not in "ZC" for letter in text))
ITEMS = st.one_of(
    st.builds(TextItem, text=TEXTS),
    st.builds(PairItem, prompt=TEXTS, completion=TEXTS),
    st.builds(FactItem, subject=TEXTS, prompt=TEXTS, completion=TEXTS),
)


@given(items=st.lists(ITEMS, max_size=4))
def test_load_returns_what_dump_stored(items: list[TextItem | PairItem | FactItem]):
    assert load_items(dump_items(items)) == tuple(items)


def test_dump_is_canonical():
    first = TextItem.model_validate({"id": "a", "text": "é"})
    second = TextItem.model_validate({"text": "é", "id": "a"})

    assert dump_items([first]) == dump_items([second]) == '[{"id":"a","text":"é"}]'.encode()


def test_dump_says_nothing_about_an_absent_id():
    assert json.loads(dump_items([TextItem(text="a")])) == [{"text": "a"}]


def test_items_without_id_are_named_by_their_place():
    named = with_ids([TextItem(text="a"), TextItem(id="own", text="b"), TextItem(text="c")])

    assert [item.id for item in named] == ["item-0", "own", "item-2"]
