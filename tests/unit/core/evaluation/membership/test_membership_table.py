import re
from pathlib import Path

import core.evaluation
from core.evaluation.membership import MEMBERSHIP_SCORES

README = Path(core.evaluation.__file__).parent / "README.md"
FIELDS = ("Is", "Formula", "Range", "Source", "Cost", "Deviation")


def sections():
    _, _, after = README.read_text().partition("\n# Membership inference\n")
    ours, _, _ = after.partition("\n# ")
    _, *parts = re.split(r"^## (.+)$", ours, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_readme_has_a_section_for_each_score_for_what_is_made_of_them_and_no_other():
    assert set(sections()) == {*MEMBERSHIP_SCORES, "auc", "priv_leak"}


def test_readme_section_says_everything_about_its_number():
    for name, section in sections().items():
        assert re.findall(r"^- \*\*(\w+)\*\*", section, flags=re.MULTILINE) == list(FIELDS), name


def test_each_class_is_named_after_its_file():
    classes = {name: type(score).__name__ for name, score in MEMBERSHIP_SCORES.items()}

    assert classes == {name: name.title().replace("_", "") for name in MEMBERSHIP_SCORES}
