import re
from pathlib import Path

import core.evaluation
from core.domain.policy import POLICIES
from core.evaluation.metrics import METRICS

ROOT = Path(core.evaluation.__file__).parent
FIELDS = ("Is", "Formula", "Range", "Source", "Cost", "Deviation")
BEYOND = "Beyond an item's own scores"


def sections(chapter="Evaluation"):
    _, _, after = f"\n{(ROOT / 'README.md').read_text()}".partition(f"\n# {chapter}\n")
    text, _, _ = after.partition("\n# ")
    _, *parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def names(folder, *, prefix=""):
    return {path.stem.removeprefix(prefix) for path in folder.glob(f"{prefix}*.py")} - {"__init__"}


def test_files_and_table_agree():
    assert names(ROOT / "metrics") == set(METRICS)


def test_readme_has_a_section_for_each_metric_and_no_other():
    assert set(sections()) == set(METRICS)


def test_readme_section_says_everything_about_its_metric():
    for name, section in (sections() | sections(BEYOND)).items():
        assert re.findall(r"^- \*\*(\w+)\*\*", section, flags=re.MULTILINE) == list(FIELDS), name


def test_readme_has_no_number_beyond_the_metrics_without_its_file_and_its_tests():
    assert sections(BEYOND).keys() <= names(ROOT)
    assert sections(BEYOND).keys() <= names(Path(__file__).parent, prefix="test_")


def test_each_metric_has_a_test():
    assert names(Path(__file__).parent / "metrics", prefix="test_") == set(METRICS)


def test_each_class_is_named_after_its_file():
    classes = {name: type(metric).__name__ for name, metric in METRICS.items()}

    assert classes == {name: name.title().replace("_", "") for name in METRICS}


def test_policies_name_metrics_that_exist():
    for policy in POLICIES.values():
        assert {gate.metric for gate in [*policy.forget, *policy.retain]} <= set(METRICS)
