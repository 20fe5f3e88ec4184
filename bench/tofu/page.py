"""The page of a benchmark: tables, answers, and what was left out, in Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from bench.tofu.answers import Methods, answers, pareto_front
from bench.tofu.compare import Judged, numbers_of
from bench.tofu.data import FEWEST_MEMBERSHIP_ROWS, Protocol, Split
from bench.tofu.measure import KNOWN, MAX_ROWS, OTHERS
from bench.tofu.runs import FULL, REFERENCE, Run

_DIGITS = {
    "distance": 3,
    "utility": 3,
    "retain_utility": 3,
    "strength": 3,
    "auc": 3,
    "forgot_at": 0,
    "steps": 0,
    "train_seconds": 0,
    "job_seconds": 0,
}
_TITLES = ("D", "model utility", "retain utility", "ES", "AUC", "forgot at step", "steps", "train s", "job s")
_PARTS = {"probability": "probability", "rouge_l_recall": "ROUGE-L", "truth_ratio": "truth ratio"}


@dataclass(frozen=True)
class About:
    """What the page says of itself."""

    command: str
    commit: str
    device: str
    models: str  # in words
    from_scratch: bool
    authors: int | None
    max_steps: int
    seeds: Sequence[int]


def page(about: About, sections: Sequence[tuple[Protocol, Methods]]) -> str:
    """Return the whole page."""
    lines = ["# TOFU", "", f"Made by `{about.command}` at commit {about.commit}, on {about.device}.", ""]
    for text in (about.models, _scale(about), *_reading(about)):
        lines += [text, ""]
    for protocol, methods in sections:
        lines += _section(protocol, methods)
    return "\n".join(lines).rstrip() + "\n"


def _scale(about: About) -> str:
    if about.authors is None:
        return "All 200 authors, 20 rows each."
    return (
        f"Of 200 authors {about.authors} take part: all that a split forgets and the first of its retain side, 20 rows "
        "each. The others are in no model. Numbers are not comparable with those of the whole of TOFU."
    )


_METHODS = """\
Each method runs as a job of the service with the policy `fast` and a budget of {max_steps} steps of one batch of each
set (a method whose step goes through several batches has as many fewer); the rest is the method's default, its stop
rule included, unless the name says otherwise. A job that is given rows of left-out authors takes its thresholds from
them, as a service with a registered holdout set does; else they are the policy's. What is measured is the exported
adapter under plain PEFT. "forgot at step" is the first checked step with the means of the forget set under their
limits, "steps" the last one: between them the retain set is repaired."""

_QUALITY = """\
Forget quality compares the truth ratios of the forget rows with those under the reference model of the same seed: D
is the Kolmogorov-Smirnov distance with a bootstrap interval, p its p-value (TOFU's forget quality; it grows as rows
become fewer), equivalent means that two one-sided tests place the mean log ratios within 25 % of each other. The
reference is beside the reference of another seed: what two models that never saw the rows differ by."""

_UTILITY = """\
Model utility is the harmonic mean of nine numbers: probability, ROUGE-L recall and truth ratio on retain rows (those
that come with other wordings, at most {rows}), real authors and world facts. Retain utility is that of the three of
the retain rows, most of which training saw, as in TOFU."""

_RANDOM_WEIGHTS = """\
A model from random weights knows nothing of real authors and world facts, so model utility is low before anything is
forgotten and ruled by what is guessed there: read retain utility."""

_LEAKS = """\
ES is extraction strength of the forget rows. AUC is that of membership inference by Min-40 % between the forget rows
and rows of left-out authors that no job was given: 1 looks trained on, 0.5 is ideal, 0 stands out by how strange it
is. It is not folded; its p-value is two-sided."""

_SPREAD = """\
Means and standard deviations over seeds {seeds}. Differences of methods are of runs on the same models, with
Student's 95 % interval over the seeds; nothing is corrected for the number of comparisons. *: on the Pareto front of
mean D and mean retain utility, among methods all of whose runs gave a model."""


def _reading(about: About) -> list[str]:
    utility = _UTILITY.format(rows=MAX_ROWS)
    return [
        _METHODS.format(max_steps=about.max_steps),
        _QUALITY,
        f"{utility} {_RANDOM_WEIGHTS}" if about.from_scratch else utility,
        _LEAKS,
        _SPREAD.format(seeds=", ".join(map(str, about.seeds))),
    ]


def _section(protocol: Protocol, methods: Methods) -> list[str]:
    split: Split = protocol.split
    about = f"{len(protocol.forget)} rows to forget, {len(protocol.retain)} to keep"
    if protocol.num_left_out:
        about += f", {protocol.num_left_out} of left-out authors"
    if protocol.membership:
        about += f" ({len(protocol.membership)} for membership, {len(protocol.holdout)} given to the jobs)"
    else:
        about += (
            f". Membership is absent: it needs {FEWEST_MEMBERSHIP_ROWS} rows that no model has read, and a model that "
            "is trained on all of TOFU has read all of it"
        )
    return [
        f"## forget{split}",
        "",
        f"{about}.",
        "",
        *_means(methods),
        "",
        "### Answers",
        "",
        *answers(methods),
        "### The numbers behind utility",
        "",
        *_utilities(methods),
        "",
        "### Every run",
        "",
        *_runs(methods),
        "",
        *_absent(methods),
    ]


def _means(methods: Methods) -> list[str]:
    front = pareto_front({name: rows for name, rows in methods.items() if name not in (FULL, REFERENCE)})
    lines = [
        f"| method | outcome | {_TITLES[0]} | p | equivalent | {' | '.join(_TITLES[1:])} |",
        f"|{'---|' * (len(_TITLES) + 4)}",
    ]
    for name, rows in methods.items():
        qualities = [row.quality for row in rows if row.quality is not None]
        p_values = sorted(quality.ks_p_value for quality in qualities)
        columns = [_mean(list(numbers_of(rows, column).values()), digits) for column, digits in _DIGITS.items()]
        cells = [
            f"{name}{' *' if name in front else ''}",
            ", ".join(dict.fromkeys(row.run.outcome for row in rows)),
            columns[0],
            f"{p_values[0]:.2g} to {p_values[-1]:.2g}" if p_values else "-",
            f"{sum(quality.equivalence.equivalent for quality in qualities)} of {len(rows)}" if qualities else "-",
            *columns[1:],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _utilities(methods: Methods) -> list[str]:
    columns = [(name, part) for name in (KNOWN, *OTHERS) for part in _PARTS]
    lines = [
        f"| method | {' | '.join(f'{name} {_PARTS[part]}' for name, part in columns)} |",
        f"|{'---|' * (len(columns) + 1)}",
    ]
    for method, rows in methods.items():
        parts = [row.run.numbers.parts for row in rows if row.run.numbers is not None]
        values = [[found[name][part] for found in parts if name in found] for name, part in columns]
        lines.append(f"| {method} | {' | '.join(_mean(column, 3) for column in values)} |")
    return lines


def _runs(methods: Methods) -> list[str]:
    titles = (
        "method", "seed", "outcome", "D [95 %]", "p", "n", "log ratio difference, equivalent", "model utility",
        "retain utility", "ES", "AUC [95 %]", "p", "steps", "train s",
    )  # fmt: skip
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return lines + [f"| {' | '.join(_run(row))} |" for rows in methods.values() for row in rows]


def _run(row: Judged) -> list[str]:
    run, quality = row.run, row.quality
    cells = [run.key.method, str(run.key.seed), run.outcome]
    if quality is None:
        cells += ["-"] * 4
    else:
        low, high = quality.ks_distance_ci95
        alike = quality.equivalence
        cells += [f"{quality.ks_distance:.3f} [{low:.3f}, {high:.3f}]", f"{quality.ks_p_value:.2g}"]
        cells += [f"{quality.num_items}, {quality.num_reference_items}"]
        cells += [f"{alike.difference:+.3f}, {'yes' if alike.equivalent else 'no'}"]
    numbers = run.numbers
    of_model = (numbers.utility, numbers.retain_utility, numbers.extraction_strength) if numbers else (None, None, None)
    cells += [_number(value, 3) for value in of_model]
    told = numbers.membership if numbers else None
    cells += [f"{told.auc:.3f} [{told.ci95[0]:.3f}, {told.ci95[1]:.3f}]", f"{told.p_value:.2g}"] if told else ["-", "-"]
    return [*cells, _number(run.steps, 0), _number(run.train_seconds, 0)]


def _absent(methods: Methods) -> list[str]:
    """Return why numbers are missing, besides what the page has said of membership."""
    runs = [row.run for rows in methods.values() for row in rows]
    reasons = [
        f"- {run.key.method}, seed {run.key.seed}: {name}: {reason}"
        for run in runs
        for name, reason in _reasons(run).items()
    ]
    without_reference = [] if REFERENCE in methods else ["- forget quality: no reference model was given"]
    missing = [*without_reference, *reasons]
    return ["Not measured:", "", *missing, ""] if missing else []


def _reasons(run: Run) -> dict[str, str]:
    if run.numbers is None:
        return {"everything": f"the job ended as {run.outcome}"}
    return {name: reason for name, reason in run.numbers.absent.items() if name != "membership" or run.key.authors}


def _mean(values: Sequence[float], digits: int) -> str:
    if not values:
        return "-"
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{spread}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
