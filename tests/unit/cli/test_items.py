import pytest

from cli.errors import CommandError
from cli.items import read_items
from core.domain.items import PairItem, TextItem

TEXT = "zq a text to forget"


def test_lines_become_items_with_ids(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text('{"text": "one"}\n\n{"id": "two", "prompt": "p", "completion": "c"}\n')

    assert read_items(path) == (
        TextItem(id="item-0", text="one"),
        PairItem(id="two", prompt="p", completion="c"),
    )


@pytest.mark.parametrize("separator", ["\u0085", "\u2028", "\u2029"])
def test_a_text_keeps_the_line_separators_that_json_allows(tmp_path, separator):
    path = tmp_path / "items.jsonl"
    path.write_text(f'{{"text": "one{separator}two"}}\n', encoding="utf-8")

    assert read_items(path) == (TextItem(id="item-0", text=f"one{separator}two"),)


def test_lines_may_end_as_on_windows(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_bytes(b'{"text": "one"}\r\n\r\n{"text": "two"}\r\n')

    assert [item.text for item in read_items(path)] == ["one", "two"]


@pytest.mark.parametrize("line", ["{", f'{{"txt": "{TEXT}"}}', f'{{"prompt": "{TEXT}"}}', '{"text": " "}', "[]"])
def test_wrong_line_is_named_and_not_quoted(tmp_path, line):
    path = tmp_path / "items.jsonl"
    path.write_text('{"text": "one"}\n' + line)

    with pytest.raises(CommandError, match="line 2") as refused:
        read_items(path)

    assert TEXT not in str(refused.value)


@pytest.mark.parametrize("payload", [b"", b"\n", b"\xff\xfe"])
def test_file_without_items_is_refused(tmp_path, payload):
    path = tmp_path / "items.jsonl"
    path.write_bytes(payload)

    with pytest.raises(CommandError):
        read_items(path)
