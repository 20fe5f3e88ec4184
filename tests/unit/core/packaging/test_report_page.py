import re
from html.parser import HTMLParser

import pytest

from core.domain.report import (
    EditedLayerSummary,
    EditSummary,
    EvaluationReport,
    Exposure,
    ItemResult,
    MetricChange,
    QuantisedLayerSummary,
    SetResult,
    TrainingSummary,
    TrajectoryPoint,
    Verdict,
)
from core.evaluation.metrics import METRICS
from core.packaging.metric_notes import METRIC_NOTES
from core.packaging.report_page import MAX_RETAIN_ITEMS_SHOWN, MAX_STEPS_SHOWN, drawings_of, figure, p_value, render
from core.packaging.verdict_notes import VERDICT_NOTES
from tests.unit.core.packaging.reports import (
    make_attack,
    make_exposure,
    make_forget_quality,
    make_membership,
    make_outcome,
    make_over_unlearned,
    make_report,
    make_set,
    make_undrawn_report,
)


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


@pytest.fixture(scope="module")
def plain():
    """The page of a report with neither membership inference nor attacks."""
    return render(make_report())


@pytest.fixture(scope="module")
def full():
    """The page of a report that has something in every section."""
    return render(make_report(membership=make_membership(), attacks=[make_attack()]))


def section(html, title):
    """Return the text of one section."""
    return _Page("<div>" + html.split(f"<h2>{title}</h2>")[1].split("<h2>")[0].split("</main>")[0] + "</div>").text


@pytest.mark.parametrize("verdict", Verdict)
def test_each_verdict_has_a_page_of_its_own(verdict):
    html = render(make_undrawn_report(verdict=verdict))
    page = _Page(html)

    assert ("class", f"verdict {verdict.value}") in page.attributes
    assert page.open == []
    assert all(step in section(html, "What to do next") for step in VERDICT_NOTES[verdict].next_steps)


def test_every_gate_is_shown_with_its_origin(plain):
    text = _Page(plain).text

    assert "Forget set: extraction strength" in text
    assert "at most 0.081" in text
    assert "holdout set: mean 0.052, 95 % interval 0.031 to 0.081" in text
    assert "Retain set: memorization accuracy" in text
    assert "at least 95% of before, 0.948" in text


def test_each_limit_says_what_it_means_by_where_it_comes_from(plain):
    measured, fixed = (
        re.search(rf"<tr><th[^>]*>Forget set: {metric}.*?</tr>", plain, re.DOTALL)[0]
        for metric in ("extraction strength", "answer probability")
    )
    assert "no better on the forget set than on texts it has never seen" in measured
    assert "never seen" not in fixed
    assert "stays under a fixed limit" in fixed


@pytest.mark.parametrize(("share", "words"), [(None, "By chance one in twenty of"), (0.08, "By chance 8 % of")])
def test_single_items_count_as_the_holdout_set_says_chance_has_it(share, words):
    thresholds = make_report().thresholds.model_copy(update={"chance_over": share})

    assert words in section(render(make_undrawn_report(thresholds=thresholds)), "Limits and whether they held")


def test_text_below_a_table_keeps_a_distance(plain):
    assert ".wide + p, .wide + ul { margin-top: 1rem; }" in plain


def test_gate_without_measurement_does_not_hold(plain):
    row = re.search(r"<tr><th[^>]*>Forget set: answer probability.*?</tr>", plain, re.DOTALL)
    assert row is not None
    assert "not measured" in row[0]
    assert "✗ no" in row[0]


def test_gate_that_failed_is_marked():
    html = render(make_undrawn_report(retain=make_set(before=1.0, after=0.5, ids=("kept",))))

    row = re.search(r"<tr><th[^>]*>Retain set: memorization accuracy.*?</tr>", html, re.DOTALL)
    assert row is not None
    assert "✗ no" in row[0]


def test_reasons_of_the_verdict_are_shown():
    text = _Page(render(make_undrawn_report(verdict=Verdict.DAMAGED, verdict_reasons=["utility fell"]))).text

    assert "utility fell" in text


def test_over_unlearning_is_said_at_the_top_and_leaves_the_verdict():
    page = render(make_undrawn_report(over_unlearned=make_over_unlearned("min_k_plus"), membership=make_membership()))

    top = _Page(page.split("<main>")[1].split("</section>")[0] + "</section>").text
    assert "over-unlearned: by Min-K%++ and Exact memorization" in top
    assert "beyond chance among all 8 comparisons" in section(page, "Whether the texts can be recognised")


def test_reason_for_an_absent_metric_is_shown_for_each_set(plain):
    assert _Page(plain).text.count("Absent: no item is long enough") == 3


def test_metric_that_is_absent_for_some_items_has_one_row():
    some = make_set(before=1.0, after=0.1, ids=("one",)).model_copy(update={"absent": {"extraction_strength": "short"}})

    html = render(make_undrawn_report(retain=some))

    assert "Absent for some: short" in _Page(html).text
    assert html.split("<h2>What was kept")[1].split("<table>")[1].count(">Extraction strength<") == 1


def test_reason_for_refusing_the_holdout_set_is_shown(plain):
    assert "could not set the limit: there is no interval" in _Page(plain).text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"holdout": None}, "no holdout set is registered"),
        ({"fisher": None}, "initialised without it"),
        ({"retain_rows_unseen": False}, "all of which were trained on, and they decide when training stops"),
        ({"retain_rows_unseen": False}, "That shows less: no other text was held to a limit."),
        ({"retain_rows_unseen": True}, "knowledge and not rehearsal; but they decide when training stops"),
    ],
)
def test_what_is_missing_is_said(change, sentence):
    assert sentence in _Page(render(make_undrawn_report(**change))).text


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
def test_page_holds_what_is_needed_to_measure_again(plain, fact):
    assert fact in _Page(plain).text


def test_each_item_is_shown_by_its_id(plain):
    text = _Page(plain).text

    assert all(identifier in text for identifier in ("one", "two", "kept"))


def test_metric_that_is_undefined_for_one_item_is_a_dash(plain):
    row = re.search(r"<tr><th[^>]*>one</th>.*?</tr>", plain, re.DOTALL)
    assert row is not None
    assert row[0].endswith("<td>1.000</td><td>\N{EN DASH}</td></tr>")


def test_hostile_values_are_escaped():
    hostile = '"><script>alert(1)</script>'
    report = make_undrawn_report(
        job_id=hostile,
        forget=make_set(before=1.0, after=0.0, ids=(hostile,)),
        versions={hostile: hostile},
        verdict_reasons=[hostile],
        attacks=[make_attack(name=hostile, variant=hostile, attacked=make_outcome({hostile: 0.9}, course=(0.1, 0.9)))],
        not_measured={hostile: hostile},
    )

    page = _Page(render(report))

    assert "script" not in page.tags
    assert hostile in page.text


def test_page_loads_nothing(full):
    page = _Page(full)

    assert not {name for name, _ in page.attributes} & {"src", "srcset", "action", "data", "style", "onload"}
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")
    assert not page.tags & {"script", "link", "iframe", "img", "object", "embed", "form"}
    assert "url(" not in full
    assert "@import" not in full
    assert "://" not in full


def test_every_drawing_has_a_title_and_a_description_of_its_own(full):
    drawings = re.findall(r"<svg .*?</svg>", full, re.DOTALL)
    ids = re.findall(r' id="([^"]+)"', full)

    assert len(drawings) == 5
    assert len(ids) == len(set(ids))
    for drawing in drawings:
        title, description = re.search(r'role="img" aria-labelledby="([^ ]+) ([^"]+)"', drawing).groups()
        assert re.search(rf'<title id="{title}">.+</title><desc id="{description}">.+</desc>', drawing)


def test_drawings_refer_to_marks_that_are_there(full):
    page = _Page(full)

    ids = {value for name, value in page.attributes if name == "id"}
    assert {value[1:] for name, value in page.attributes if name == "href"} <= ids


def test_drawings_take_their_colours_from_the_page(full):
    svg = "".join(re.findall(r"<svg .*?</svg>", full, re.DOTALL))
    style = full.split("<style>")[1].split("</style>")[0]

    assert "#0" not in re.sub(r'href="#[^"]*"', "", svg)
    assert all(f".{name} {{" in style for name in set(re.findall(r"\b(?:fill|stroke)-[a-z]+(?=[ \"])", svg)))


def test_page_is_the_same_for_the_same_report():
    report = make_undrawn_report(membership=make_membership(), attacks=[make_attack()])

    assert render(report) == render(report)


def test_drawings_that_were_made_before_the_times_were_known_are_those_of_the_page():
    report = make_report(membership=make_membership(), attacks=[make_attack()])
    before = report.model_copy(update={"timings_seconds": {}})

    assert render(report, drawings_of(before)) == render(report)


def test_report_from_before_there_were_intervals_and_attacks_is_shown():
    new = {"membership", "truth_ratio", "forget_quality", "exposure", "attacks", "not_measured"}
    forget = make_set(before=1.0, after=0.0, ids=("one",))
    old = make_undrawn_report(forget=forget).model_dump(mode="json", exclude=new)
    for name in ("forget", "retain", "holdout"):
        for change in old[name]["metrics"].values():
            del change["before_ci95"], change["after_ci95"], change["reference"]
        for item in old[name]["items"]:
            del item["was_known"]

    html = render(EvaluationReport.model_validate(old))

    assert "no interval" in section(html, "What was forgotten")
    assert "gives no reason" in section(html, "Whether the texts can be recognised")
    assert "no attack was made" in section(html, "What an attacker gets back")
    assert "Membership inference this report holds none" in section(html, "What was not measured")


def test_metric_is_shown_with_its_intervals_and_its_reference():
    change = MetricChange(
        before=0.911, after=0.122, n=17, before_ci95=(0.853, 0.954), after_ci95=(0.061, 0.187), reference=0.078
    )
    forget = make_set(before=1.0, after=0.0, ids=("one",)).model_copy(update={"metrics": {"perplexity": change}})

    text = section(render(make_undrawn_report(forget=forget)), "What was forgotten")

    assert "0.911 0.853 to 0.954 0.122 0.061 to 0.187 0.078 17" in text
    assert "The reference is a model trained without the forget set." in text


def test_reference_is_said_to_be_missing_where_there_is_none(plain):
    assert "There was no reference" in section(plain, "What was forgotten")


def test_items_that_are_not_forgotten_come_first_and_are_named():
    items = [
        ItemResult(id=name, before={"extraction_strength": 1.0}, after={"extraction_strength": after}, forgotten=gone)
        for name, after, gone in (("gone-1", 0.1, True), ("still-2", 0.9, False), ("gone-3", 0.1, True))
    ]
    forget = make_set(before=1.0, after=0.4, ids=("one",)).model_copy(
        update={"items": items, "num_items": 3, "metrics": {}}
    )

    html = render(make_undrawn_report(forget=forget, verdict=Verdict.PARTLY_FORGOTTEN))

    assert "1 item is not forgotten: still-2" in section(html, "What to do next")
    assert "2 of 3 items count as forgotten, each within its own limits" in _Page(html).text
    told = section(html, "What was forgotten").split("Item by item")[1]
    assert told.index("still-2") < told.index("gone-1") < told.index("gone-3")
    assert "still-2 ✗ no not asked there without any attack" in told


def test_item_that_came_back_says_under_which_attack(full):
    text = section(full, "What was forgotten")

    assert "1 item forgotten, but back under an attack" in text
    assert "two ✓ yes not asked Relearning: on texts of the same kind" in text
    assert "one ✓ yes not asked none of 1" in text
    assert "1 item is forgotten, but over a limit again under an attack" in section(full, "What to do next")


def test_item_that_was_not_known_had_nothing_to_forget():
    items = [ItemResult(id="one", before={}, after={}, forgotten=True, was_known=False)]
    forget = make_set(before=1.0, after=0.0, ids=("one",)).model_copy(update={"items": items, "metrics": {}})

    assert "one was not known no not attacked" in section(
        render(make_undrawn_report(forget=forget)), "What was forgotten"
    )


def test_likeness_to_a_model_that_never_saw_the_texts_is_shown():
    ratio = MetricChange(before=0.311, after=0.822, n=61, before_ci95=(0.255, 0.377), reference=0.844)

    html = render(make_undrawn_report(truth_ratio=ratio, forget_quality=make_forget_quality()))

    text = section(html, "Whether it is like a model that never saw the texts")
    assert "Truth ratio 0.311 0.255 to 0.377 0.822 no interval 0.844 61" in text
    assert "within a margin that was set beforehand: shown to be alike ." in text
    assert "0.127 (0.000 to 0.254)" in text
    assert "p of no difference; a large one proves nothing 0.611" in text
    assert "61 and 59" in text
    assert "below 0.001, 0.031" in text


def test_likeness_that_was_not_measured_says_why():
    reasons = {"truth_ratio": "no item has wordings", "forget_quality": "no reference model"}

    text = section(
        render(make_undrawn_report(not_measured=reasons)), "Whether it is like a model that never saw the texts"
    )

    assert "Truth ratio: absent: no item has wordings" in text
    assert "Forget quality: absent: no reference model" in text


def test_exposure_is_shown_with_what_luck_gives():
    never_saw = Exposure(mean=1.52, p_value=0.44, n=14, num_candidates=256)
    html = render(make_undrawn_report(exposure=make_exposure(after=1.61, p_value=0.31, reference=never_saw)))

    text = section(html, "Whether numbers in the texts stand out")
    assert "Luck alone gives about 1.44 bits on average" in text
    assert "Before 7.911 stands out below 0.001 14 256" in text
    assert "After 1.610 may be luck 0.310 14 256" in text
    assert "Reference 1.520 may be luck 0.440 14 256" in text
    assert "8.0 bits are the most that can be seen" in text
    assert "compare with the mean before and of the reference" in text


def test_exposure_without_a_reference_has_two_rows():
    html = render(make_undrawn_report(exposure=make_exposure(after=7.5, p_value=1e-6)))

    text = section(html, "Whether numbers in the texts stand out")
    assert "After 7.500 stands out below 0.001" in text
    assert "Reference" not in text
    assert "compare with the mean before." in text


def test_exposure_that_was_not_measured_says_why():
    html = render(make_undrawn_report(not_measured={"exposure": "no completion holds enough digits"}))

    assert "Absent: no completion holds enough" in section(html, "Whether numbers in the texts stand out")
    assert "Exposure no completion holds enough digits" in section(html, "What was not measured")


def test_membership_is_read_on_both_sides(full):
    text = section(full, "Whether the texts can be recognised")

    assert "Before 0.961 0.911 to 0.989, DeLong still recognisable p below 0.001 61, 83" in text
    assert "After 0.512 0.433 to 0.591, DeLong not told apart" in text
    assert "Reference 0.123 0.082 to 0.187, DeLong over-unlearned" in text
    assert "PrivLeak: -8.210 %" in text
    assert "0.5 is ideal" in text


def test_absent_parts_of_membership_say_why(full):
    text = section(full, "Whether the texts can be recognised")

    assert "one that never saw it. Absent: before: no reference model was given" in text
    assert "Found at 1 % false alarms: absent: 83 holdout items; at least 100 needed" in text


def test_membership_without_a_reference_says_why_there_is_no_priv_leak():
    absent = {"priv_leak": "a reference model is needed"}
    html = render(make_undrawn_report(membership=make_membership(reference=None, priv_leak=None, absent=absent)))

    text = section(html, "Whether the texts can be recognised")
    assert "PrivLeak: absent: a reference model is needed." in text
    assert "There is no reference" in text


def test_attack_shows_its_sentence_budget_means_worst_items_and_course(full):
    text = section(full, "What an attacker gets back")

    assert "trains the model on others of their kind" in text
    assert "1 of 2 attacked items is over its own limits, 0 without the attack." in text
    assert (
        "0 is nothing. 1.000 0.044 0.445 no limit: shown only 0.077" in text
    )  # before, unattacked, attacked, reference
    assert "two 0.047 0.777 0.123 one 0.042 0.113 0.031" in text
    assert "10 0.321 0.066" in text
    assert "Learning rate 0.001 Forward tokens 123,456" in text
    assert "Steps until half of it is back: extraction strength 17.2" in text
    assert "Absent: not reached within 20 steps" in text


def test_taught_answers_are_shown_beside_unseen_texts_and_say_what_follows():
    values = {"difference": 0.3, "difference_low": 0.2, "difference_high": 0.4}
    attack = make_attack(
        variant="answers",
        reference=None,
        control=make_outcome({"other": 0.111}, course=(0.02, 0.05, 0.111)),
        summary={f"{name}_extraction_strength": value for name, value in values.items()},
        missing={"reference": "no reference model was given"},
    )

    text = section(render(make_undrawn_report(attacks=[attack])), "What an attacker gets back")

    assert "What it shows. At its worst point this model completes 44 % of an item on average" in text
    assert "2 items were taught and asked for; since the attacker taught them, no limit" in text
    assert "Limit Unseen texts Extraction strength" in text
    assert "0.445 no limit: shown only 0.111" in text
    assert "Training steps of the attacker Extraction strength: attacked unseen texts 0 0.051 0.020" in text
    assert "two 0.047 0.777 one 0.042 0.113" in text


def test_attack_that_was_not_made_says_why():
    attack = make_attack(attacked=None, absent="no neighbours were given to train on")

    html = render(make_undrawn_report(attacks=[attack]))

    assert "Absent: no neighbours were given" in section(html, "What an attacker gets back")
    assert "same kind no neighbours were given" in section(html, "What was not measured")


def a_limited(value, **changes):
    limit = {"extraction_strength": 0.16}
    return make_attack(attacked=make_outcome({"one": value}), reference=None, at_most=limit, **changes)


@pytest.mark.parametrize(("value", "held", "mark"), [(0.059, "✓ held", "✓ yes"), (0.221, "✗ not held", "✗ no")])
def test_limit_of_an_attack_stands_beside_its_mean_and_at_the_top(value, held, mark):
    html = render(make_undrawn_report(attacks=[a_limited(0.01, variant="benign"), a_limited(value)]))

    assert f"{value:.3f} at most 0.160 {held}" in section(html, "What an attacker gets back")
    top = section(html, "Limits and whether they held")
    assert top.count("Forget set, attacked by relearning: extraction strength") == 1
    assert "After is the worst of 2 variants: on texts of the same kind." in top
    assert f"at most 0.160 not attacked {value:.3f} {mark}" in top
    assert "one that it brings back for the most part counts as not forgotten, whatever the mean" in top


def test_attack_without_a_limit_is_shown_only(full):
    text = section(full, "What an attacker gets back")

    assert "no limit: shown only" in text
    assert "the verdict does not rest on it" in text
    assert "attacked by" not in section(full, "Limits and whether they held")


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        ([a_limited(0.01)], "its other variants are held to it."),
        ([], "since no variant could be made, the limit did not hold."),
    ],
)
def test_variant_with_a_limit_that_was_not_made_says_what_follows(others, sentence):
    missing = a_limited(0.0).model_copy(update={"attacked": None, "absent": "no neighbours"})

    text = section(render(make_undrawn_report(attacks=[missing, *others])), "What an attacker gets back")

    assert f"Absent: no neighbours. The policy has a limit for this attack: {sentence}" in text


def test_items_over_a_limit_do_not_speak_against_a_request_that_counts_as_forgotten():
    items = [ItemResult(id="over-1", before={}, after={}, forgotten=False)]
    forget = make_set(before=1.0, after=0.0, ids=("one",)).model_copy(update={"items": items, "metrics": {}})

    text = section(render(make_undrawn_report(forget=forget)), "What to do next")

    assert "1 item is over a limit for single items, no more than chance allows" in text


def test_attack_that_no_limit_speaks_of_is_shown_without_a_judgement():
    drawn = make_outcome({"one": 0.4}).model_copy(
        update={"items": {"one": {"rouge_l_recall": 0.4}}, "means": {"rouge_l_recall": 0.4}}
    )
    attack = make_attack(name="sampling", variant="sampling", attacked=drawn, unattacked=None, reference=None)

    text = section(render(make_undrawn_report(attacks=[attack])), "What an attacker gets back")

    assert "a single item has no limit on what this attack measures" in text
    assert "not measured not asked 0.400 no limit: shown only not measured" in text


def test_change_of_the_weights_is_shown_in_steps_of_the_grid():
    layers = [QuantisedLayerSummary(module="h.0.mlp", max_change=0.812, median_change=0.093)]
    attack = make_attack(
        name="quantisation", variant="nf4_merged", layers=layers, attacked=make_outcome({"one": 0.1}), reference=None
    )

    html = render(make_undrawn_report(attacks=[attack]))

    assert "h.0.mlp 0.812 0.093" in section(html, "What an attacker gets back")


def test_what_was_left_out_is_told_with_its_reason():
    html = render(make_undrawn_report(not_measured={"sampling": "the policy leaves it out"}))

    assert "Attack: sampling the policy leaves it out" in section(html, "What was not measured")


def test_page_without_an_adapter_speaks_of_one_measurement():
    changes = {"training": None, "fisher": None, "adapter_rank": None}
    html = render(make_report(verdict=Verdict.NO_ACTION_NEEDED, **changes))

    assert "✗" not in section(html, "What the model knew of the request")
    assert "0 of 2 items were known before." in _Page(html).text
    assert "After" not in _Page(html).text
    assert "nothing was trained, since no action was needed" in section(html, "How it went")
    assert "there is no adapter, since no action was needed" in section(html, "Technical appendix")
    assert "there is no adapter to attack" in section(html, "What an attacker gets back")


def test_long_report_stays_light():
    names = tuple(f"item-{place}" for place in range(100))
    points = [TrajectoryPoint(step=step, forget_loss=1.0 / step, retain_loss=0.1) for step in range(1, 2001)]
    training = make_report().training.model_copy(update={"trajectory": points})
    attack = make_attack(attacked=make_outcome(dict.fromkeys(names, 0.5), course=(0.1, 0.2)))
    still = make_attack(attacked=make_outcome(dict.fromkeys(names, 0.5)))
    forget = make_set(before=1.0, after=0.04, ids=names, forgotten=True)
    retain = make_set(before=1.0, after=0.99, ids=tuple(f"kept-{place}" for place in range(1000)))

    html = render(make_report(forget=forget, retain=retain, training=training, attacks=[attack] * 3 + [still] * 9))

    assert len(html.encode()) < 300_000
    assert f"{MAX_STEPS_SHOWN + 1} of 2000 steps" in html  # and the last one
    assert f"The {MAX_RETAIN_ITEMS_SHOWN} of 1000 items that lost most" in html


def test_trajectory_is_told_in_numbers(plain):
    text = section(plain, "How it went")

    assert "Step Extraction strength, forget set Forget loss Retain loss" in text
    assert "1 0.900 1.900 0.100 2 \N{EN DASH} 1.000 0.200 3 0.100 0.200 0.100" in text


def test_trajectory_without_points_is_absent():
    training = TrainingSummary(
        steps=0, planned_steps=5, stopped_early=True, delivered_step=0, resumed_from_step=None, trajectory=[]
    )

    html = render(make_report(training=training))

    assert "during training</title>" not in html
    assert "too few points" in html


def an_edit(**changes):
    layer = EditedLayerSummary(
        layer=5, module="h.5.mlp.c_proj", relative_norm=0.41, disturbance=0.062, truncation_error=0.003
    )
    edit = EditSummary(facts=2, scale=0.625, moment_tokens=4723, moments_from_cache=True, layers=[layer])
    return edit.model_copy(update=changes)


def test_edit_is_told_in_place_of_training():
    text = _Page(render(make_undrawn_report(edit=an_edit()))).text

    assert "an edit of 1 weight for 2 facts, improved in 3 steps of ascent" in text
    assert "Delivered is a share of 0.625 of it" in text
    assert "estimated on 4723 tokens of retain texts, by an earlier job" in text
    assert "h.5.mlp.c_proj 0.410 0.062 0.003" in text
    assert "Training took" not in text
    assert "none of which the edit was solved with" in text


def test_edit_that_is_delivered_whole_says_so():
    assert "All of it is delivered" in _Page(render(make_undrawn_report(edit=an_edit(scale=1.0)))).text


def test_set_without_metrics_is_rendered():
    empty = SetResult(num_items=1, num_measured=0, metrics={}, absent={"perplexity": "nothing to score"}, items=[])

    assert "Absent: nothing to score" in _Page(render(make_undrawn_report(retain=empty))).text


def test_no_number_is_nan_or_infinite(plain):
    assert not re.search(r"\b(nan|inf|infinity)\b", _Page(plain).text, re.IGNORECASE)


@pytest.mark.parametrize(
    ("value", "shown"), [(0.04321, "0.043"), (31.26, "31.3"), (123456.7, "1.23e+05"), (None, "not measured")]
)
def test_figure_has_no_more_digits_than_it_needs(value, shown):
    assert figure(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(0.0004, "below 0.001"), (0.04, "0.040"), (1.0, "1.000")])
def test_small_p_value_is_no_zero(value, shown):
    assert p_value(value) == shown


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_figure_refuses_what_is_no_number(value):
    with pytest.raises(ValueError, match="finite"):
        figure(value)


def test_every_metric_is_explained():
    assert METRICS.keys() <= METRIC_NOTES.keys()
