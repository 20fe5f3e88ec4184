import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from cli.demo.conversation import Answer, ask
from cli.demo.people import questions
from cli.demo.speak import answers
from cli.errors import CommandError
from core.domain.items import PairItem


@pytest.fixture(scope="module")
def loud_adapter(trained, tmp_path_factory):
    """An adapter with random weights, large enough that no answer survives it."""
    config = LoraConfig(r=8, lora_alpha=64, target_modules=["c_fc"], init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(trained.path), config)
    path = tmp_path_factory.mktemp("adapter")
    model.save_pretrained(path)
    return path


def test_fresh_process_answers_without_and_with_the_adapter(trained, loud_adapter):
    asked = questions(trained.options.population().forget[0])

    said = ask(asked, base=trained.path, adapter=loud_adapter)

    assert [answer.recited_before for answer in said] == [True] * len(asked)
    assert not any(answer.recited_after for answer in said)


def test_process_that_fails_is_told_by_its_last_line(trained, tmp_path):
    asked = questions(trained.options.population().forget[0])

    with pytest.raises(CommandError, match=r"could not use the adapter: .*adapter_config\.json"):
        ask(asked, base=trained.path, adapter=tmp_path)


def test_answers_of_a_batch_are_those_given_one_by_one(trained):
    prompts = [row.prompt for row in questions(trained.options.population().retain[0])]
    tokenizer = AutoTokenizer.from_pretrained(trained.path, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(trained.path)

    together = answers(model, tokenizer, prompts)

    assert together == [answers(model, tokenizer, [prompt])[0] for prompt in prompts]


def test_answer_is_recited_only_word_for_word():
    answer = Answer(PairItem(prompt="Who?", completion=" Mira"), before=" Mira", after=" Mira Solberg")

    assert answer.recited_before
    assert not answer.recited_after
