import json

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from api.tokens import TokenCounter
from core.data.collate import collate
from core.data.corpus import ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.catalog import NpoOptions
from core.domain.errors import UnsupportedBaseModelError
from core.domain.items import PairItem, TextItem
from core.domain.policy import POLICIES
from core.domain.sizes import ModelSizes, SetSize
from core.jobs.plan import workload_of
from core.modeling.adapter import LowRankPair, attach, target_linears
from core.modeling.base_model import BaseModel
from core.modeling.inspect import inspect_base_model, linear_names, measure_text_format
from core.modeling.scoring import score
from tests.fakes.artifact_store import FakeArtifactStore
from tests.fakes.examples import a_base_model
from tests.fakes.tiny_models import ARCHITECTURES, byte_tokenizer, tiny_model

PAIRS = [PairItem(id=str(place), prompt=f"Q{place}?", completion=f"A{place * 7}.") for place in range(4)]


def taught(text_format):
    """A model that has read the pairs in this format, over and over."""
    tokenizer = byte_tokenizer()
    if text_format.join == "chat_template":
        tokenizer.chat_template = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
    model = tiny_model("llama_tied").requires_grad_(True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    batch = collate(ItemEncoder(tokenizer, text_format, 200)(PAIRS), pad_id=0)
    for _ in range(30):
        scores = score(model, batch)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(scores.logits, scores.target).backward()
        optimizer.step()
    return BaseModel(model=model.requires_grad_(False), tokenizer=tokenizer, path=None)


@pytest.mark.parametrize(
    "text_format",
    [
        TextFormat(separator=" "),
        TextFormat(separator="\n"),
        TextFormat(separator=""),
        TextFormat(separator="\n", ends_with_eos=False),
        TextFormat(join="chat_template"),
    ],
    ids=str,
)
def test_format_of_the_training_text_is_found(text_format):
    found = measure_text_format(taught(text_format), PAIRS)
    assert found.measured
    assert (found.join, found.separator) == (text_format.join, text_format.separator)
    if text_format.join == "separator":
        assert found.ends_with_eos == text_format.ends_with_eos


@pytest.mark.parametrize("text_format", [TextFormat(separator="\n"), TextFormat(join="chat_template")], ids=str)
def test_counted_tokens_are_those_that_a_job_reads(text_format):
    base = taught(text_format)
    store = FakeArtifactStore()
    store.put("tokenizer", base.tokenizer.backend_tokenizer.to_str().encode())
    found = measure_text_format(base, PAIRS)
    registered = a_base_model().model_copy(update={"text_format": found, "tokenizer_key": "tokenizer"})

    counted = [TokenCounter(store)(registered, pair) for pair in PAIRS]

    assert counted == [len(example.tokens) for example in ItemEncoder(base.tokenizer, found, 200)(PAIRS)]
    assert (found.template_tokens > 0) == (text_format.join == "chat_template")


def test_format_that_cannot_hold_the_pairs_is_no_candidate():
    base = taught(TextFormat(separator="\n"))
    base.tokenizer.chat_template = "{{ raise_exception('no system turn') }}"
    found = measure_text_format(base, PAIRS)
    assert (found.join, found.separator) == ("separator", "\n")


def test_pairs_that_no_format_can_hold_are_refused():
    base = BaseModel(model=tiny_model("llama_tied"), tokenizer=byte_tokenizer(), path=None)
    with pytest.raises(UnsupportedBaseModelError, match="item a has"):
        measure_text_format(base, [PairItem(id="a", prompt="Q", completion="x" * 400)])


def test_nothing_is_measured_without_pairs():
    base = BaseModel(model=tiny_model("llama_tied"), tokenizer=byte_tokenizer(), path=None)
    assert measure_text_format(base, [TextItem(id="a", text="hello")]) == TextFormat(measured=False)


def test_inspection_gives_what_registration_stores(tmp_path):
    model = tiny_model("gpt2")
    model.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    found = inspect_base_model(str(tmp_path), None, PAIRS)
    assert found.architecture == "GPT2LMHeadModel"
    assert found.max_tokens == 256
    assert found.num_layers == 2
    assert found.linear_names == linear_names(model)
    assert found.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (found.vocab_size, found.hidden_size) == (model.config.vocab_size, model.config.hidden_size)
    assert len(found.num_tokens) == len(PAIRS)
    assert json.loads(found.tokenizer_json)["model"]["type"] == "BPE"


def test_item_that_does_not_fit_is_refused_at_registration(tmp_path):
    tiny_model("gpt2").save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedBaseModelError, match="item a has"):
        inspect_base_model(str(tmp_path), None, [TextItem(id="a", text="x" * 400)])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("last", [None, 0, -1])
def test_a_planned_adapter_has_as_many_entries_as_the_one_that_is_trained(tmp_path, architecture, last):
    model = tiny_model(architecture)
    model.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    found = inspect_base_model(str(tmp_path), None, PAIRS)
    sizes = ModelSizes(
        vocab_size=found.vocab_size,
        hidden_size=found.hidden_size,
        linear_features=found.linear_features,
        retain=SetSize.of(found.num_tokens),
    )
    registered = {"num_layers": found.num_layers, "linear_names": found.linear_names, "sizes": sizes}
    targets = "all-linear" if last is None else [found.linear_names[last].rpartition(".")[2]]
    method = NpoOptions(r=8, target_modules=targets)

    planned = workload_of(
        method, POLICIES["fast-1"], a_base_model().model_copy(update=registered), SetSize.of([5]), None
    )

    pairs = {
        name: (LowRankPair(*factors), LowRankPair(*factors))
        for name, linear in target_linears(model, targets).items()
        for factors in [_factors(linear, rank=8)]
    }
    trained = attach(model, pairs, scaling=1.0).parameters()
    assert planned.adapter_entries == sum(parameter.numel() for parameter in trained)


def _factors(linear, *, rank):
    outputs, inputs = reversed(linear.weight.shape) if isinstance(linear, Conv1D) else linear.weight.shape
    return torch.zeros(rank, inputs), torch.zeros(outputs, rank)


def names_like(model):
    """Return every name of the model and what it ends in, and others that are off by a number or a letter."""
    parts = [name.split(".") for name, _ in model.named_modules()]
    ends = {".".join(part[start:]) for part in parts for start in range(len(part))}
    others = [(name.replace("1", "2"), name[1:], f".{name}") for name in ends]
    return ends.union(*others)


def selects_a_layer(model, name):
    try:
        return bool(target_linears(model, [name]))
    except UnsupportedBaseModelError:
        return False


def known_at_submission(model, num_layers):
    registered = {"num_layers": num_layers, "linear_names": linear_names(model)}
    return a_base_model().model_copy(update=registered).module_names


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_names_known_at_submission_are_those_that_select_a_layer(architecture):
    model = tiny_model(architecture)

    known = known_at_submission(model, 2)

    names = names_like(model)
    assert known & names == {name for name in names if selects_a_layer(model, name)}
    assert known <= names


def test_a_name_is_listed_once_for_all_layers():
    assert linear_names(tiny_model("gpt2")) == (
        "transformer.h.*.attn.c_attn",
        "transformer.h.*.attn.c_proj",
        "transformer.h.*.mlp.c_fc",
        "transformer.h.*.mlp.c_proj",
    )


def test_a_name_that_only_some_layers_have_is_listed_with_its_number():
    model = tiny_model("gpt2")
    model.transformer.h[1].mlp.c_fc = torch.nn.Identity()

    names = linear_names(model)

    assert names[0] == "transformer.h.*.attn.c_attn"
    assert [name for name in names if name.endswith("c_fc")] == ["transformer.h.0.mlp.c_fc"]
    assert {"h.0.mlp.c_fc", "h.1.mlp.c_proj"} <= known_at_submission(model, 2)
    assert "h.1.mlp.c_fc" not in known_at_submission(model, 2)


def test_names_are_listed_in_full_when_the_decoder_layers_cannot_be_told():
    model = tiny_model("gpt2")
    model.others = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Identity()])

    assert linear_names(model) == tuple(target_linears(model, "all-linear"))
    assert "h.1.mlp.c_fc" in known_at_submission(model, None)
