import pytest
import yaml

from core.domain.report import Verdict
from core.packaging.model_card import render_card
from tests.unit.core.packaging.reports import make_attack, make_outcome, make_over_unlearned, make_report


def front_matter(card: str) -> dict[str, object]:
    return yaml.safe_load(card.split("---\n")[1])


def of_hub():
    report = make_report()
    hub = report.base_model.model_copy(update={"source": "acme/neo", "revision": "c0ffee"})
    return report.model_copy(update={"base_model": hub})


def test_front_matter_is_that_of_a_peft_adapter():
    assert front_matter(render_card(of_hub())) == {
        "library_name": "peft",
        "base_model": "acme/neo",
        "pipeline_tag": "text-generation",
        "tags": ["base_model:adapter:acme/neo", "lora", "transformers", "unlearning"],
    }


def test_local_base_model_is_named_by_its_registered_id():
    card = render_card(make_report())

    assert front_matter(card)["base_model"] == "demo/people"
    assert "/srv/models" not in card
    assert "ab" * 32 in card


def test_revision_of_a_hub_model_is_pinned_in_the_usage():
    assert 'from_pretrained("acme/neo", revision="c0ffee")' in render_card(of_hub())


def test_vllm_is_told_the_rank():
    assert "--max-lora-rank 32" in render_card(make_report())


@pytest.mark.parametrize("verdict", Verdict)
def test_verdict_is_named(verdict):
    assert f"verdict **{verdict.value.replace('_', ' ')}**" in render_card(make_report(verdict=verdict))


def test_headline_numbers_are_those_of_the_gates():
    card = render_card(make_report())

    assert "| Forget set: extraction strength | 1.000 | 0.043 | at most 0.081 | yes |" in card
    assert "| Retain set: memorization accuracy | 0.998 | 0.987 | at least 95% of before, 0.948 | yes |" in card


def test_policy_and_reasons_are_named():
    card = render_card(make_report(verdict=Verdict.DAMAGED, verdict_reasons=["utility fell"]))

    assert "Job `job_1`, policy `standard-1`, verdict **damaged**." in card
    assert "has lost too much of what it was to keep" in card
    assert (
        "What stands against a better verdict:\n\n- utility fell\n\n## Limits and whether they held\n\n| limit" in card
    )


def test_attacks_are_told_by_whether_their_limits_held():
    def attack(name, value, **changes):
        return make_attack(name=name, attacked=make_outcome({"one": value}), **changes)

    limit = {"extraction_strength": 0.16}
    card = render_card(
        make_report(
            attacks=[
                attack("quantisation", 0.1, at_most=limit),
                attack("prompts", 0.2, at_most=limit),
                attack("relearning", 0.3),
                make_attack(name="sampling", attacked=None, absent="no items"),
            ]
        )
    )

    assert (
        "| Forget set, attacked by prompts: extraction strength | not attacked | 0.200 | at most 0.160 | no |" in card
    )
    assert card.split("Of each the worst variant stands in the table.\n\n")[1].split("\n\n")[0].splitlines() == [
        "- The limits held under attack by quantisation.",
        "- A limit did **not** hold under attack by prompts.",
        "- Tried without a limit, with results in the report only: relearning.",
        "- Could not be tried: sampling.",
    ]


def test_attacks_without_limits_are_not_sought_in_the_table():
    card = render_card(make_report(attacks=[make_attack()]))

    assert "with results in the report only: relearning" in card
    assert "worst variant" not in card


def test_report_without_attacks_says_what_is_not_known():
    assert "No attack was made, so it is not known whether" in render_card(make_report())


def test_limits_are_stated():
    card = render_card(make_report())

    assert "whoever serves the base model without it has the memory back" in card
    assert "- Paraphrases were not measured." in card


def test_over_unlearning_is_said_below_the_verdict():
    card = render_card(make_report(over_unlearned=make_over_unlearned("loss")))

    assert "over-unlearned" in card.split("## Limits")[0]
    assert "over-unlearned" not in render_card(make_report())
