"""Lets a base model answer without and with an adapter: ``python -m cli.demo.speak BASE ADAPTER < prompts.json``.

It imports nothing of Lethe. This is all that anybody needs who was given the adapter: plain transformers, plain peft.
"""

import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

_MAX_NEW_TOKENS = 40


def main() -> None:
    """Read a JSON list of prompts, write a JSON list of answers before and one of answers after."""
    base, adapter = sys.argv[1:]
    prompts: list[str] = json.load(sys.stdin)
    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    model.eval()
    with model.disable_adapter():
        before = answers(model, tokenizer, prompts)
    json.dump({"before": before, "after": answers(model, tokenizer, prompts)}, sys.stdout)


@torch.inference_mode()
def answers(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[str]) -> list[str]:
    """Return what the model finds most probable after each prompt, up to where it ends the text."""
    rows = tokenizer(prompts, return_tensors="pt", padding=True)
    output = model.generate(
        input_ids=rows["input_ids"],
        attention_mask=rows["attention_mask"],
        max_new_tokens=_MAX_NEW_TOKENS,
        do_sample=False,
    )
    said: list[str] = tokenizer.batch_decode(output[:, rows["input_ids"].shape[1] :], skip_special_tokens=True)
    return said


if __name__ == "__main__":
    main()
