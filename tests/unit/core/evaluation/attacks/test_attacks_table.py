import re
from pathlib import Path

import core.evaluation
from core.evaluation.attacks import ATTACKS
from tests.fakes.unlearned_model import BENIGN, FORGET, NEIGHBOURS, scene

FIELDS = ["Attack", "Budget", "Cost", "Reports", "Source", "Limits"]


def sections():
    _, _, attacks = (Path(core.evaluation.__file__).parent / "README.md").read_text().partition("\n# Attacks\n")
    chapter = re.split(r"^# ", attacks, flags=re.MULTILINE)[0]
    _, *parts = re.split(r"^## (.+)$", chapter, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_readme_has_a_section_for_each_attack_and_no_other():
    assert sections().keys() == ATTACKS.keys()


def test_readme_section_says_everything_about_its_attack():
    for name, section in sections().items():
        assert re.findall(r"^- \*\*(\w+)\*\*", section, flags=re.MULTILINE) == FIELDS, name


def test_each_class_is_named_after_its_file():
    assert {name: type(attack).__name__ for name, attack in ATTACKS.items()} == {
        name: name.title().replace("_", "") for name in ATTACKS
    }


def test_every_attack_tells_its_cost_and_names_itself():
    attacked = scene(neighbours=NEIGHBOURS[:1], benign=BENIGN[:1], forget=FORGET[:2])

    for name, attack in ATTACKS.items():
        assert attack.cost(attacked) > 0
        assert {result.name for result in attack(attacked)} == {name}
