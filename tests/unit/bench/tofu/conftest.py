import json

import pytest

RETAIN_AUTHORS = 14


def author(number):
    """Twenty questions about nobody: as in TOFU, all about one author in a row."""
    return [
        {
            "question": f"What is fact {place} of writer {number}?",
            "answer": f"Writer {number} has {place * 7 + number} books.",
            "paraphrased_answer": f"There are {place * 7 + number} books by writer {number}.",
            "paraphrased_question": f"Tell fact {place} of writer {number}.",
            "perturbed_answer": [f"There are {place + wrong} books by writer {number}." for wrong in (500, 600)],
        }
        for place in range(20)
    ]


def plain(rows):
    return [{name: row[name] for name in ("question", "answer")} for row in rows]


@pytest.fixture
def write_tofu(tmp_path):
    """Writes files of the form of TOFU's with made-up rows; others than these are given by name."""

    def write(**files):
        retain = [row for number in range(RETAIN_AUTHORS) for row in author(number)]
        forget = [row for number in (98, 99) for row in author(number)]
        facts = [
            {"question": f"Where is city {place}?", "answer": f"Land {place}", "perturbed_answer": ["Sea", "Sky"]}
            for place in range(4)
        ]
        rows = {
            "full": plain(retain + forget),
            "retain99": plain(retain),
            "retain_perturbed": retain[:40],
            "forget01_perturbed": forget,
            "real_authors_perturbed": facts,
            "world_facts_perturbed": facts,
        } | files
        directory = tmp_path / "tofu"
        directory.mkdir()
        for name, lines in rows.items():
            if lines is not None:
                text = "\n".join(json.dumps(line) for line in lines)
                (directory / f"{name}.jsonl").write_text(text, encoding="utf-8")
        return directory

    return write
