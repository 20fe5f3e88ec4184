import re
from html.parser import HTMLParser

import pytest

from core.domain.report import EditedLayerSummary, EditSummary, SetResult, TrainingSummary, Verdict
from core.evaluation.metrics import METRICS
from core.packaging.metric_notes import METRIC_NOTES
from core.packaging.report_page import figure, render
from tests.unit.core.packaging.reports import make_report, make_set


class _Page(HTMLParser):
    """Collects the text and the attributes of a page, and refuses tags that are not closed in order."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.mark.parametrize("verdict", Verdict)
def test_each_verdict_has_a_page_of_its_own(verdict):
    page = _Page(render(make_report(verdict=verdict)))

    assert ("class", f"verdict {verdict.value}") in page.attributes
    assert page.open == []


def test_every_gate_is_shown_with_its_origin():
    text = _Page(render(make_report())).text

    assert "Forget set: extraction strength" in text
    assert "at most 0.081" in text
    assert "holdout set: mean 0.052, 95 % interval 0.031 to 0.081" in text
    assert "Retain set: memorization accuracy" in text
    assert "at least 95% of before, 0.948" in text


def test_each_limit_says_what_it_means_by_where_it_comes_from():
    html = render(make_report())

    measured, fixed = (
        re.search(rf"<tr><th[^>]*>Forget set: {metric}.*?</tr>", html, re.DOTALL)[0]
        for metric in ("extraction strength", "answer probability")
    )
    assert "no better on the forget set than on texts it has never seen" in measured
    assert "never seen" not in fixed
    assert "stays under a fixed limit" in fixed


def test_text_below_a_table_keeps_a_distance():
    assert ".wide + p, .wide + ul { margin-top: 1rem; }" in render(make_report())


def test_gate_without_measurement_does_not_hold():
    html = render(make_report())

    row = re.search(r"<tr><th[^>]*>Forget set: answer probability.*?</tr>", html, re.DOTALL)
    assert row is not None
    assert "not measured" in row[0]
    assert "✗ no" in row[0]


def test_gate_that_failed_is_marked():
    html = render(make_report(retain=make_set(before=1.0, after=0.5, ids=("kept",))))

    row = re.search(r"<tr><th[^>]*>Retain set: memorization accuracy.*?</tr>", html, re.DOTALL)
    assert row is not None
    assert "✗ no" in row[0]


def test_reasons_of_the_verdict_are_shown():
    text = _Page(render(make_report(verdict=Verdict.DAMAGED, verdict_reasons=["utility fell"]))).text

    assert "utility fell" in text


def test_reason_for_an_absent_metric_is_shown_for_each_set():
    assert _Page(render(make_report())).text.count("Absent: no item is long enough") == 3


def test_metric_that_is_absent_for_some_items_has_one_row():
    some = make_set(before=1.0, after=0.1, ids=("one",)).model_copy(update={"absent": {"extraction_strength": "short"}})

    html = render(make_report(retain=some))

    assert "Absent for some: short" in _Page(html).text
    assert html.split("What was kept")[1].split("</table>")[0].count(">Extraction strength<") == 1


def test_reason_for_refusing_the_holdout_set_is_shown():
    assert "could not set the limit: there is no interval" in _Page(render(make_report())).text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"holdout": None}, "no holdout set is registered"),
        ({"fisher": None}, "initialised without it"),
        ({"retain_rows_unseen": False}, "all of which were trained on, and they decide when training stops"),
        ({"retain_rows_unseen": True}, "knowledge and not rehearsal; but they decide when training stops"),
    ],
)
def test_what_is_missing_is_said(change, sentence):
    assert sentence in _Page(render(make_report(**change))).text


@pytest.mark.parametrize(
    "fact",
    [
        "job_1",
        "4 March 2026",
        "demo/people",
        "abab",
        "learning_rate",
        "0.210",
        "c_fc, q_proj",
        "2.13.0",
        "12.3 s",
        "Paraphrases were not measured.",
        "resumed from step 2",
        "3 registered retain items were left out",
        "float32",
    ],
)
def test_page_holds_what_is_needed_to_measure_again(fact):
    assert fact in _Page(render(make_report())).text


def test_each_item_is_shown_by_its_id():
    text = _Page(render(make_report())).text

    assert all(identifier in text for identifier in ("one", "two", "kept"))


def test_metric_that_is_undefined_for_one_item_is_a_dash():
    html = render(make_report())

    row = re.search(r"<tr><th[^>]*>one</th>.*?</tr>", html, re.DOTALL)
    assert row is not None
    assert row[0].endswith('<td class="n">1.000</td><td class="n">\N{EN DASH}</td></tr>')


def test_hostile_values_are_escaped():
    hostile = '"><script>alert(1)</script>'
    report = make_report(
        job_id=hostile,
        forget=make_set(before=1.0, after=0.0, ids=(hostile,)),
        versions={hostile: hostile},
        verdict_reasons=[hostile],
    )

    page = _Page(render(report))

    assert "script" not in page.tags
    assert hostile in page.text


def test_page_loads_nothing():
    html = render(make_report())
    page = _Page(html)

    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "action", "data", "style", "onload"}
    assert not page.tags & {"script", "link", "iframe", "img", "object", "embed", "form"}
    assert "url(" not in html
    assert "@import" not in html
    assert "://" not in html


def test_trajectory_is_drawn_from_the_points():
    html = render(make_report())

    lines = re.findall(r'points="([^"]+)"', html)
    assert [len(line.split()) for line in lines] == [3, 3, 2]
    assert lines[2] == "186.7,18.0 560.0,162.0"  # a third and all of 560, a tenth and nine tenths of 180 down


def test_trajectory_without_points_is_absent():
    training = TrainingSummary(
        steps=0, planned_steps=5, stopped_early=True, delivered_step=0, resumed_from_step=None, trajectory=[]
    )

    html = render(make_report(training=training))

    assert "<polyline" not in html
    assert "too few points" in html


def an_edit(**changes):
    layer = EditedLayerSummary(
        layer=5, module="h.5.mlp.c_proj", relative_norm=0.41, disturbance=0.062, truncation_error=0.003
    )
    edit = EditSummary(facts=2, scale=0.625, moment_tokens=4723, moments_from_cache=True, layers=[layer])
    return edit.model_copy(update=changes)


def test_edit_is_told_in_place_of_training():
    text = _Page(render(make_report(edit=an_edit()))).text

    assert "an edit of 1 weight for 2 facts, improved in 3 steps of ascent" in text
    assert "Delivered is a share of 0.625 of it" in text
    assert "estimated on 4723 tokens of retain texts, by an earlier job" in text
    assert "h.5.mlp.c_proj 0.410 0.062 0.003" in text
    assert "Training took" not in text
    assert "none of which the edit was solved with" in text


def test_edit_that_is_delivered_whole_says_so():
    assert "All of it is delivered" in _Page(render(make_report(edit=an_edit(scale=1.0)))).text


def test_set_without_metrics_is_rendered():
    empty = SetResult(num_items=1, num_measured=0, metrics={}, absent={"perplexity": "nothing to score"}, items=[])

    assert "Absent: nothing to score" in _Page(render(make_report(retain=empty))).text


def test_no_number_is_nan_or_infinite():
    assert not re.search(r"\b(nan|inf|infinity)\b", _Page(render(make_report())).text, re.IGNORECASE)


@pytest.mark.parametrize(
    ("value", "shown"), [(0.04321, "0.043"), (31.26, "31.3"), (123456.7, "1.23e+05"), (None, "not measured")]
)
def test_figure_has_no_more_digits_than_it_needs(value, shown):
    assert figure(value) == shown


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_figure_refuses_what_is_no_number(value):
    with pytest.raises(ValueError, match="finite"):
        figure(value)


def test_every_metric_is_explained():
    assert set(METRIC_NOTES) == set(METRICS)
