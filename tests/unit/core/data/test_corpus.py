import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from core.data.corpus import ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.errors import UnsupportedBaseModelError
from core.domain.items import FactItem, PairItem, TextItem
from tests.fakes.tiny_models import byte_tokenizer

EOS = 256


def encode(item, text_format=None, *, tokenizer=None, max_tokens=200):
    encoder = ItemEncoder(tokenizer or byte_tokenizer(), text_format or TextFormat(), max_tokens)
    return encoder([item])[0]


def answer_text(example, tokenizer=None):
    return (tokenizer or byte_tokenizer()).decode(list(example.answer))


def test_text_scores_every_token_that_has_a_predecessor():
    example = encode(TextItem(id="a", text="hello"))
    assert example.first_label == 1
    assert example.num_trailing == 0
    assert answer_text(example) == "ello"


def test_pair_scores_the_completion_and_keeps_the_ending_apart():
    example = encode(PairItem(id="a", prompt="Q: x\nA:", completion=" yes"))
    assert answer_text(example) == " yes"
    assert example.tokens[-1] == EOS
    assert example.num_trailing == 1


def test_example_says_whether_it_has_a_prompt():
    assert encode(PairItem(id="a", prompt="Q", completion=" yes")).prompted
    assert not encode(TextItem(id="a", text="hello")).prompted


def test_fact_is_encoded_as_its_pair():
    pair = encode(PairItem(id="a", prompt="Mira lives in", completion=" Oslo"))
    assert encode(FactItem(id="a", subject="Mira", prompt="Mira lives in", completion=" Oslo")) == pair


def test_model_without_endings_gets_none():
    example = encode(PairItem(id="a", prompt="Q", completion=" yes"), TextFormat(ends_with_eos=False))
    assert example.num_trailing == 0
    assert example.tokens[-1] != EOS


@pytest.mark.parametrize(
    ("prompt", "completion", "text"),
    [("Q?", "yes", "Q? yes"), ("Q? ", "yes", "Q? yes"), ("Q?", " yes", "Q? yes"), ("Q?\n", "yes", "Q?\nyes")],
)
def test_separator_yields_to_white_space_the_client_has_put(prompt, completion, text):
    tokenizer = byte_tokenizer()
    example = encode(PairItem(id="a", prompt=prompt, completion=completion), TextFormat(separator=" "))
    assert tokenizer.decode(list(example.tokens[:-1])) == text


def test_token_across_the_seam_belongs_to_the_completion():
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trained.decoder = decoders.ByteLevel()
    trained.train_from_iterator(
        ["A:yes"] * 9, trainers.BpeTrainer(vocab_size=300, special_tokens=["<eos>"], initial_alphabet=["Q"])
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained, eos_token="<eos>")
    example = encode(PairItem(id="a", prompt="QA:", completion="yes"), tokenizer=tokenizer)
    assert answer_text(example, tokenizer) == "A:yes"


def test_tokens_that_the_tokenizer_adds_are_never_content():
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A <|endoftext|>", special_tokens=[("<|endoftext|>", EOS)]
    )
    text = encode(TextItem(id="a", text="hi"), tokenizer=tokenizer)
    pair = encode(PairItem(id="a", prompt="Q", completion=" yes"), tokenizer=tokenizer)
    assert (text.tokens, text.first_label, text.num_trailing) == ((EOS, 71, 72, EOS), 1, 1)
    assert answer_text(pair) == " yes"
    assert pair.num_trailing == 1


def test_chat_template_scores_the_reply_and_not_the_turn_around_it():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | trim }}</s>{% endfor %}"
    text_format = TextFormat(join="chat_template")
    example = encode(PairItem(id="a", prompt="yes?", completion=" yes "), text_format, tokenizer=tokenizer)
    assert answer_text(example) == "yes"
    assert tokenizer.decode(list(example.tokens)) == "<user>yes?</s><assistant>yes</s>"
    assert example.num_trailing == len("</s>")


def test_chat_template_that_loses_the_reply_is_refused():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    with pytest.raises(UnsupportedBaseModelError):
        encode(PairItem(id="a", prompt="q", completion="zzz"), TextFormat(join="chat_template"), tokenizer=tokenizer)


CHAT_ML = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"


@pytest.mark.parametrize("completion", ["end", "<|im_end|>", "im", "assistant", " padded "])
def test_reply_that_occurs_in_the_chat_markup_is_still_the_reply(completion):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = CHAT_ML
    pair = PairItem(id="a", prompt="user", completion=completion)
    example = encode(pair, TextFormat(join="chat_template"), tokenizer=tokenizer)
    assert answer_text(example, tokenizer) == completion
    assert tokenizer.decode(list(example.tokens[-example.num_trailing :])) == "<|im_end|>\n"


@pytest.mark.parametrize("join", ["separator", "chat_template"])
@pytest.mark.parametrize("completion", ["yes", " yes", "end"])
def test_opening_of_a_reply_is_read_and_not_scored(join, completion):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = CHAT_ML
    pair = PairItem(id="a", prompt="Q?", completion=completion)
    example = ItemEncoder(tokenizer, TextFormat(join=join, separator=" "), 200).opened(pair, "It is the end:")
    before = {"separator": "Q? It is the end:", "chat_template": "<|im_start|>assistant\nIt is the end:"}
    assert example.id == "a"
    assert tokenizer.decode(list(example.tokens[: example.first_label])).endswith(before[join])
    assert answer_text(example) == f" {completion.strip()}"
    assert example.num_trailing == encode(pair, TextFormat(join=join, separator=" "), tokenizer=tokenizer).num_trailing


def test_chat_template_that_changes_the_reply_is_refused():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}<{{ m['content'].split('</think>')[-1] }}>{% endfor %}"
    pair = PairItem(id="a", prompt="q", completion="so</think>yes")
    with pytest.raises(UnsupportedBaseModelError, match="does not reproduce"):
        encode(pair, TextFormat(join="chat_template"), tokenizer=tokenizer)


def test_chat_template_that_fails_is_refused_without_the_text():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('no ' + messages[0]['content']) }}"
    with pytest.raises(UnsupportedBaseModelError) as refusal:
        encode(PairItem(id="a", prompt="secret", completion="x"), TextFormat(join="chat_template"), tokenizer=tokenizer)
    assert "secret" not in str(refusal.value)
    assert refusal.value.__suppress_context__


def trimming_tokenizer():
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


@pytest.mark.parametrize("completion", ["yes ", " yes", "yes  ", "  a  b "])
def test_spaces_of_a_completion_are_content_when_the_tokenizer_trims_its_spans(completion):
    example = encode(PairItem(id="a", prompt="Q:", completion=completion), tokenizer=trimming_tokenizer())
    assert answer_text(example) == completion
    assert (example.tokens[-1], example.num_trailing) == (EOS, 1)


def test_spaces_of_a_prompt_are_not_content_when_the_tokenizer_trims_its_spans():
    example = encode(PairItem(id="a", prompt="Q:  ", completion=" yes"), tokenizer=trimming_tokenizer())
    assert answer_text(example) == " yes"


def test_space_at_the_end_of_a_text_is_content_when_the_tokenizer_trims_its_spans():
    example = encode(TextItem(id="a", text="hello "), tokenizer=trimming_tokenizer())
    assert answer_text(example) == "ello "
    assert example.num_trailing == 0


def test_ending_follows_another_token_that_the_tokenizer_adds():
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <sep>",
        special_tokens=[("<sep>", 0)],
    )
    example = encode(PairItem(id="a", prompt="Q", completion=" yes"), tokenizer=tokenizer)
    assert (example.tokens[-2:], example.num_trailing) == ((0, EOS), 2)


def test_item_longer_than_the_context_is_refused_without_its_text():
    with pytest.raises(UnsupportedBaseModelError, match="item a has 10 tokens") as refusal:
        encode(TextItem(id="a", text="secret-abc"), max_tokens=9)
    assert "secret" not in str(refusal.value)


def test_item_of_one_token_has_nothing_to_score():
    with pytest.raises(UnsupportedBaseModelError, match="too short"):
        encode(TextItem(id="a", text="x"))


def subject_text(item, text_format=None, *, tokenizer=None):
    """Return the text up to the token that holds the subject's last character, and that token's number."""
    tokenizer = tokenizer or byte_tokenizer()
    encoder = ItemEncoder(tokenizer, text_format or TextFormat(), 256)
    place = encoder.subject_place(item)
    (example,) = encoder([item])
    return tokenizer.decode(example.tokens[: place + 1])


@pytest.mark.parametrize(
    ("subject", "prompt", "up_to"),
    [("Ada", "Ada is", "Ada"), ("Ada", "Is Ada or Ada it?", "Is Ada or Ada"), ("Zoë ", "Is Zoë it?", "Is Zoë")],
)
def test_subject_ends_in_the_token_of_its_last_character(subject, prompt, up_to):
    assert subject_text(FactItem(id="a", subject=subject, prompt=prompt, completion=" yes")) == up_to


def test_subject_ends_before_the_space_when_the_tokenizer_trims_its_spans():
    item = FactItem(id="a", subject="Ada", prompt="Is Ada here?", completion=" yes")
    assert subject_text(item, tokenizer=trimming_tokenizer()) == "Is Ada"


@pytest.mark.parametrize(
    ("prompt", "up_to"), [("user", "user"), ("  is user\n", "is user"), ("user user?", "user user")]
)
def test_subject_in_a_chat_turn_is_not_sought_in_the_markup(prompt, up_to):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = CHAT_ML.replace("m['content']", "m['content'] | trim")
    item = FactItem(id="a", subject="user", prompt=prompt, completion="user")
    found = subject_text(item, TextFormat(join="chat_template"), tokenizer=tokenizer)
    assert found == f"<|im_start|>user\n{up_to}"


def test_subject_after_a_token_that_the_tokenizer_adds_is_found():
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", EOS)]
    )
    item = FactItem(id="a", subject="Ada", prompt="Ada is", completion=" here")
    assert subject_text(item, tokenizer=tokenizer) == "<|endoftext|>Ada"


def test_chat_template_that_changes_the_prompt_is_refused_where_the_subject_is_sought():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}<{{ m['content'] | replace('Ada', 'A.') }}>{% endfor %}"
    item = FactItem(id="a", subject="Ada", prompt="Ada is", completion="here")
    with pytest.raises(UnsupportedBaseModelError, match="does not reproduce a prompt"):
        subject_text(item, TextFormat(join="chat_template"), tokenizer=tokenizer)


def test_subject_that_is_not_in_the_prompt_is_refused_without_its_text():
    item = FactItem(id="a", subject="secret", prompt="Ada is", completion="here")
    with pytest.raises(UnsupportedBaseModelError, match="subject of item a does not occur") as refusal:
        subject_text(item)
    assert "secret" not in str(refusal.value)
