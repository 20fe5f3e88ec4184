import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from cli.demo import show
from cli.demo.conversation import Answer
from cli.demo.service import Delivery
from core.domain.items import PairItem
from core.domain.report import ForgetThreshold, RetainThreshold, Thresholds, Verdict
from tests.unit.core.packaging.reports import make_over_unlearned, make_report

ASKED = PairItem(prompt="Question: Who is it?\nAnswer:", completion=" Mira [b]Solberg")
FORGOTTEN = Answer(ASKED, before=" Mira [b]Solberg", after=" Nobody")
KEPT = Answer(ASKED, before=" Mira [b]Solberg", after=" Mira [b]Solberg")


def printed(renderable: object) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_conversation_shows_question_and_both_answers_as_they_are():
    text = printed(show.conversation("Forgotten", [FORGOTTEN]))

    assert "Who is it?" in text
    assert "Question:" not in text
    assert "Mira [b]Solberg" in text
    assert "Nobody" in text


def test_rambling_answer_is_shortened_to_a_line():
    rambling = Answer(ASKED, before=" Mira", after=" called\ncalled" * 60)

    text = printed(show.conversation("Forgotten", [rambling]))

    assert text.count("called") < 20
    assert "..." in text


def test_recited_shares_count_true_answers():
    assert show.recited_shares([FORGOTTEN, KEPT]) == (1.0, 0.5)


def test_metric_that_could_not_be_measured_is_said_to_be_so():
    thresholds = Thresholds(
        policy="p",
        source="policy",
        forget=[ForgetThreshold(metric="extraction_likelihood", at_most=0.06, item_at_most=0.25)],
        retain=[RetainThreshold(metric="extraction_likelihood", at_least_ratio=0.95)],
    )

    text = printed(show.metrics(make_report(thresholds=thresholds), forgotten=[FORGOTTEN], unseen=[KEPT]))

    assert text.count("not measured") == 4
    assert ">= 95% of before" in text


def test_metrics_show_limits_and_shares():
    thresholds = Thresholds(
        policy="p",
        source="policy",
        forget=[ForgetThreshold(metric="extraction_strength", at_most=0.06, item_at_most=0.25)],
        retain=[RetainThreshold(metric="memorization_accuracy", at_least_ratio=0.95)],
    )

    text = printed(show.metrics(make_report(thresholds=thresholds), forgotten=[FORGOTTEN], unseen=[KEPT, FORGOTTEN]))

    assert "<= 0.060" in text
    assert ">= 0.948" in text
    shares = [re.findall(r"\d\.\d{3}", line) for line in text.splitlines() if "word for word" in line]
    assert shares == [["1.000", "0.000"], ["1.000", "0.500"]]


@pytest.mark.parametrize("verdict", Verdict)
def test_closing_names_verdict_reasons_and_paths(verdict):
    report = make_report(verdict=verdict, verdict_reasons=["too much remains"])

    text = printed(show.closing(Delivery(Path("a/adapter"), Path("a/report.html"), report), seconds=99.6))

    assert verdict.value.replace("_", " ") in text
    assert "after 100 s" in text
    assert "too much remains" in text
    assert "a/adapter" in text
    assert "a/report.html" in text


def test_closing_says_what_was_unlearned_too_far():
    report = make_report(over_unlearned=make_over_unlearned("loss"))

    text = printed(show.closing(Delivery(Path("a/adapter"), Path("a/report.html"), report), seconds=9.0))

    assert "over-unlearned: by Loss and Exact memorization" in text
