from bench.tofu.measure import ModelNumbers
from bench.tofu.runs import FULL, REFERENCE, Run, RunKey


def make_run(method, seed, *, kept=0.9, shift=0.0, forgot_at=None, outcome="forgotten"):
    """A run whose retain utility is ``kept`` and whose truth ratios are ``shift`` away from the reference's."""
    part = {"probability": kept, "rouge_l_recall": kept, "truth_ratio": kept}
    numbers = ModelNumbers(
        extraction_strength=0.1,
        log_ratios=[shift + (place * 37 % 40) / 40 + seed / 1000 for place in range(40)],
        parts={"retain": part},
    )
    key = RunKey(
        commit="c", data="d", model="m", method=method, seed=seed, split="01", authors=3, max_steps=9
    )  # fmt: skip
    untouched = method in (FULL, REFERENCE)
    return Run(
        key=key, outcome="" if untouched else outcome, numbers=numbers, forgot_at=forgot_at, train_seconds=1.0 + seed
    )
