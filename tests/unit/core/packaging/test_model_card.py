import pytest
import yaml

from core.domain.report import Verdict
from core.packaging.model_card import render_card
from tests.unit.core.packaging.reports import make_report


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

    assert "| forget set: extraction strength | 1.000 | 0.043 | at most 0.081 | yes |" in card
    assert "| retain set: memorization accuracy | 0.998 | 0.987 | at least 95% of before, 0.948 | yes |" in card


def test_limits_are_stated():
    card = render_card(make_report())

    assert "whoever serves the base model without it has the memory back" in card
    assert "- Paraphrases were not measured." in card
