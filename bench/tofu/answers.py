"""The questions that the benchmark is run for, answered from its own numbers or not at all."""

from collections.abc import Mapping, Sequence

from bench.tofu.compare import Difference, Judged, numbers_of, paired
from bench.tofu.runs import FULL, REFERENCE

Methods = Mapping[str, Sequence[Judged]]  # the runs of one split by method
LOKU = "loku"
# With the start of FILA, and the same loss on a plain LoRA.
STARTS = (("gd_fila", "ga_gd_in_distribution"), ("ihl:initializer=fila", "ihl"), ("loku:initializer=fila", "ihl"))


def answers(methods: Methods) -> list[str]:
    """Return the answers for one split, as paragraphs and a table in Markdown."""
    return [
        "**Does IHL keep utility where gradient ascent loses it?**",
        "",
        *_utility(methods, "gradient_ascent", "which has no retain loss"),
        *_utility(methods, "ga_gd_in_distribution", "which has the same retain loss as ihl"),
        "",
        "**Does FILA forget in fewer steps than plain LoRA?**",
        "",
        *(_steps(methods, fila, plain) for fila, plain in STARTS),
        _steps(methods, LOKU, "ihl") + " By default loku starts from a refinement of FILA (kronecker_fila).",
        "",
        f"**Where does {LOKU} stand at equal compute?**",
        "",
        *_standing(methods),
        "",
    ]


def pareto_front(methods: Methods) -> set[str]:
    """Return the methods that no other one beats in both means: nearer to the reference, and more utility."""
    points = {}
    for name, rows in methods.items():
        distance, utility = numbers_of(rows, "distance"), numbers_of(rows, "retain_utility")
        if rows and len(distance) == len(utility) == len(rows):
            points[name] = (sum(distance.values()) / len(rows), sum(utility.values()) / len(rows))
    return {
        name
        for name, (distance, utility) in points.items()
        if not any(d <= distance and u >= utility and (d, u) != (distance, utility) for d, u in points.values())
    }


def _utility(methods: Methods, ascent: str, which: str) -> list[str]:
    """Return whether ascent lost retain utility and ihl kept more of it."""
    lost = _difference(methods, ascent, FULL, "retain_utility")
    kept = _difference(methods, "ihl", FULL, "retain_utility")
    better = _difference(methods, "ihl", ascent, "retain_utility")
    if lost is None or kept is None or better is None:
        return [f"- Against {ascent}, {which}: {_why_not(methods, 'ihl', ascent, FULL)}"]
    if lost.sign >= 0:
        reading = f"{ascent} is not shown to lose retain utility, so there is nothing to decide."
    elif better.sign > 0:
        reading = f"Yes: {ascent} loses retain utility and ihl keeps more of it."
        reading += " ihl loses some as well." if kept.sign < 0 else " A loss under ihl is not shown."
    elif better.sign < 0:
        reading = "No: ihl keeps less of it."
    else:
        reading = "The numbers do not decide: the interval of the difference holds zero."
    changes = f"retain utility changes by {lost.shown()} under {ascent} and by {kept.shown()} under ihl"
    failed = _failed(methods, "ihl", ascent)
    return [f"- Against {ascent}, {which}: {changes}; ihl minus {ascent} is {better.shown()}. {reading}{failed}"]


def _steps(methods: Methods, fila: str, plain: str) -> str:
    """Return which of two starts forgets sooner; a run that never did is no number of steps."""
    if missing := [name for name in (fila, plain) if name not in methods]:
        return f"- {fila} against {plain}: not run ({', '.join(missing)})."
    counts = {name: f"{len(numbers_of(methods[name], 'forgot_at'))} of {len(methods[name])}" for name in (fila, plain)}
    reached = f"the forget set came under its limits in {counts[fila]} and {counts[plain]} runs"
    found = _difference(methods, fila, plain, "forgot_at")
    if any(len(numbers_of(methods[name], "forgot_at")) < len(methods[name]) for name in (fila, plain)):
        return f"- {fila} against {plain}: {reached}, so the numbers of steps do not compare."
    if found is None:
        return f"- {fila} against {plain}: {reached}; with fewer than two seeds nothing is decided."
    reading = {
        -1: f"{fila} forgets in fewer steps.",
        1: f"{plain} forgets in fewer steps.",
        0: "The numbers do not decide: the interval holds zero.",
    }[found.sign]
    return f"- {fila} against {plain}: {reached}; the difference in steps is {found.shown(1)}. {reading}"


def _standing(methods: Methods) -> list[str]:
    """Return loku beside every other method, on both axes."""
    if LOKU not in methods:
        return [f"{LOKU} was not run."]
    lines = [
        f"| {LOKU} minus | distance D (less is better) | retain utility (more is better) | train s | {LOKU} is |",
        "|---|---|---|---|---|",
    ]
    for name in methods:
        if name in (FULL, REFERENCE, LOKU):
            continue
        found = [_difference(methods, LOKU, name, axis) for axis in ("distance", "retain_utility", "train_seconds")]
        cells = ["-" if difference is None else difference.shown() for difference in found]
        lines.append(f"| {name} | {' | '.join(cells)} | {_place(found[0], found[1])} |")
    return lines


def _place(distance: Difference | None, utility: Difference | None) -> str:
    """Return how the first method stands to the second, as far as both intervals decide."""
    if distance is None or utility is None:
        return "not comparable: a run failed, or there are fewer than two seeds"
    words = {
        (-1, 1): "better in both",
        (-1, 0): "nearer to the reference; utility undecided",
        (-1, -1): "nearer to the reference, at a cost in utility",
        (0, 1): "better in utility; distance undecided",
        (0, 0): "undecided in both",
        (0, -1): "worse in utility; distance undecided",
        (1, 1): "better in utility, farther from the reference",
        (1, 0): "farther from the reference; utility undecided",
        (1, -1): "worse in both",
    }
    return words[distance.sign, utility.sign]


def _difference(methods: Methods, ours: str, theirs: str, column: str) -> Difference | None:
    if ours not in methods or theirs not in methods:
        return None
    return paired(numbers_of(methods[ours], column), numbers_of(methods[theirs], column))


def _why_not(methods: Methods, *names: str) -> str:
    if missing := [name for name in names if name not in methods]:
        return f"not run ({', '.join(missing)})."
    return f"fewer than two seeds have the numbers, so nothing is decided.{_failed(methods, *names)}"


def _failed(methods: Methods, *names: str) -> str:
    """Return which runs are not among the numbers: a comparison of those that ended well says so."""
    failed = [
        f"{name} ended as {row.run.outcome} with seed {row.run.key.seed}"
        for name in names
        for row in methods[name]
        if row.run.numbers is None
    ]
    return f" Without a model, and so not in these numbers: {', '.join(failed)}." if failed else ""
