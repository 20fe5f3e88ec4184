from bench.tofu.answers import answers, pareto_front
from bench.tofu.compare import Judged, judged
from bench.tofu.runs import FULL, REFERENCE
from tests.unit.bench.tofu.runs import make_run

SEEDS = (1, 2, 3)


def by_method(**methods):
    """Runs of three seeds by method; each number goes up a little with the seed, as luck would."""
    names = {"full": FULL, "reference": REFERENCE, "ihl_fila": "ihl:initializer=fila"}
    given = {"full": {}} | methods
    runs = [
        make_run(names.get(name, name), seed, **{key: value + change(key, seed) for key, value in numbers.items()})
        for name, numbers in given.items()
        for seed in SEEDS
    ]
    rows = judged(runs)
    return {
        names.get(name, name): [row for row in rows if row.run.key.method == names.get(name, name)] for name in given
    }


def change(key, seed):
    return seed if key == "forgot_at" else seed / 1000


def text(methods):
    return "\n".join(answers(methods))


def test_utility_is_decided_where_the_intervals_decide():
    found = text(by_method(ihl={"kept": 0.8}, gradient_ascent={"kept": 0.2}))

    assert "Yes: gradient_ascent loses retain utility and ihl keeps more of it." in found
    assert "Against ga_gd_in_distribution, which has the same retain loss as ihl: not run" in found


def test_utility_is_left_open_where_the_intervals_hold_zero():
    methods = by_method(ihl={"kept": 0.5}, gradient_ascent={"kept": 0.5})
    uneven = [make_run("ihl", seed, kept=kept) for seed, kept in zip(SEEDS, (0.2, 0.5, 0.8), strict=True)]
    methods["ihl"] = [Judged(run) for run in uneven]

    assert "The numbers do not decide" in text(methods)


def test_ascent_that_lost_nothing_decides_nothing():
    found = text(by_method(full={"kept": 0.5}, ihl={"kept": 0.5}, gradient_ascent={"kept": 0.5}))

    assert "gradient_ascent is not shown to lose retain utility" in found


def test_steps_are_compared_where_every_run_forgot():
    found = text(by_method(ihl={"forgot_at": 30}, ihl_fila={"forgot_at": 10}))

    assert "ihl:initializer=fila forgets in fewer steps." in found


def test_a_run_that_never_forgot_is_no_number_of_steps():
    found = text(by_method(ihl={}, ihl_fila={"forgot_at": 10}))

    assert "in 3 of 3 and 0 of 3 runs, so the numbers of steps do not compare" in found


def test_loku_is_placed_beside_each_other_method():
    found = text(by_method(reference={}, loku={"kept": 0.8}, npo={"kept": 0.5, "shift": 0.5}))

    assert "| npo |" in found
    assert "better in both" in found
    assert f"| {FULL} |" not in found


def test_the_front_leaves_out_what_is_beaten_in_both():
    methods = by_method(
        reference={}, loku={"kept": 0.8, "shift": 0.2}, npo={"kept": 0.5, "shift": 0.5}, ihl={"kept": 0.4}
    )
    del methods[FULL], methods[REFERENCE]

    assert pareto_front(methods) == {"loku", "ihl"}
