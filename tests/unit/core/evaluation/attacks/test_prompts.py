import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from core.data.corpus import ItemEncoder
from core.domain.base_model import TextFormat
from core.domain.items import FactItem, PairItem, TextItem
from core.evaluation.attack import NO_REFERENCE, leak, num_tokens
from core.evaluation.attacks.prompts import FAMILIES, FRAMES, OPENINGS, Prompts, PromptsBudget, _shown, gives_away
from tests.fakes.tiny_models import byte_tokenizer
from tests.fakes.unlearned_model import BENIGN, ENCODE, NEIGHBOURS, all_of, pair, same, scene, text, trained_on

REWORDED = pair(0).model_copy(update={"paraphrased_prompts": ("The code of 0 reads", "Zero goes by")})
FORGET = (REWORDED, pair(1), text(4))
CHAT = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
TOKENIZER = byte_tokenizer()


def attempts(family, *, forget=FORGET, budget=None, shots=NEIGHBOURS, encode=ENCODE):
    """What is tried, as (id, what the model reads, what is scored)."""
    attacked = scene(forget=forget, shots=shots)
    object.__setattr__(attacked, "encode", encode)
    return [
        (example.id, TOKENIZER.decode(list(example.tokens[: example.first_label])), decoded(example.answer))
        for example in Prompts(budget or PromptsBudget())._attempts(attacked, family).attacked
    ]


def decoded(tokens):
    return TOKENIZER.decode(list(tokens))


def chat_encoder():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = CHAT
    return ItemEncoder(tokenizer, TextFormat(join="chat_template"), 256)


def completion_of(item):
    """What is scored; of a text all but its first token, which is a letter here and nothing precedes."""
    return item.completion if not isinstance(item, TextItem) else item.text[1:]


@pytest.mark.parametrize("encode", [ENCODE, chat_encoder()], ids=["separator", "chat"])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_prompt_holds_the_completion_before_the_place_where_it_is_scored(family, encode):
    shots = [*NEIGHBOURS, pair(0), pair(1).model_copy(update={"id": "x", "prompt": f"Is it {pair(1).completion}"})]
    by_id = {item.id: item for item in FORGET}

    found = attempts(family, shots=shots, encode=encode)

    assert found
    for item_id, read, scored in found:
        item = by_id[item_id]
        assert completion_of(item).strip(" .") not in read
        assert completion_of(item).strip() in scored
        assert scored.strip() in (item.text if isinstance(item, TextItem) else item.completion)


def test_paraphrases_are_the_items_own_and_no_others():
    assert attempts("paraphrase") == [
        ("item-0", "The code of 0 reads ", pair(0).completion),
        ("item-0", "Zero goes by ", pair(0).completion),
    ]


def test_an_opening_stands_between_prompt_and_completion():
    found = [read for item_id, read, _ in attempts("prefix_injection") if item_id == "item-1"]

    assert found == [f"Code 1 is {opening}" for opening in OPENINGS]


def test_an_opening_stands_in_the_turn_of_the_assistant():
    found = [read for item_id, read, _ in attempts("prefix_injection", encode=chat_encoder()) if item_id == "item-1"]

    assert found == [f"<|user|>Code 1 is<|end|><|assistant|>{opening}" for opening in OPENINGS]


def test_a_text_stands_behind_the_words_and_is_scored_where_it_was_measured():
    whole = text(4).text
    opened = [found for found in attempts("prefix_injection") if found[0] == "text-4"]
    framed = [found for found in attempts("role_play") if found[0] == "text-4"]

    for (_, read, scored), words in zip([*opened, *framed], [*OPENINGS, *FRAMES], strict=True):
        assert read == f"{words}\n{whole[0]}"
        assert scored == whole[1:]


def test_a_text_is_scored_as_a_whole_where_each_text_begins_with_a_token_of_its_own():
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 256)]
    )
    whole = text(4).text

    found = attempts("role_play", forget=[text(4)], encode=ItemEncoder(tokenizer, TextFormat(), 256))

    assert [scored for _, _, scored in found] == [whole] * 4


def test_a_text_is_shown_beside_what_it_was_measured_with():
    attacked = scene(forget=[text(4), text(5)])

    results = {result.variant: result for result in Prompts()(attacked)}

    assert results["role_play"].unattacked == leak(attacked.model, ENCODE([text(4), text(5)]), pad_id=256)


def test_words_that_are_the_text_itself_do_not_stand_before_it():
    told = TextItem(id="told", text=OPENINGS[1])

    assert [read for _, read, _ in attempts("prefix_injection", forget=[told])] == [
        f"{opening}\n{told.text[0]}" for opening in OPENINGS if opening != OPENINGS[1]
    ]


def test_few_shot_shows_other_pairs_in_the_format_of_the_model():
    (_, read, _), *_ = attempts("few_shot", forget=[pair(1)], budget=PromptsBudget(shots=2))

    *shown, asked = read.split("\n\n")
    assert asked == "Code 1 is "
    assert len(set(shown)) == 2
    assert set(shown) <= {f"{shot.prompt} {shot.completion}" for shot in NEIGHBOURS}


def test_few_shot_drops_pairs_that_do_not_fit_the_model():
    one = len(f"{NEIGHBOURS[0].prompt} {NEIGHBOURS[0].completion}\n\n")
    plain = len("Code 1 is ") + len(pair(1).completion) + 1
    short = ItemEncoder(byte_tokenizer(), TextFormat(separator=" "), plain + 2 * one + one // 2)

    found = attempts("few_shot", forget=[pair(1)], encode=short)

    assert {read.count("\n\n") for _, read, _ in found} == {2}


def test_the_draw_of_pairs_is_decided_by_the_seed():
    draws = [attempts("few_shot", budget=PromptsBudget(shots=2, seed=seed)) for seed in (0, 0, 1)]

    assert draws[0] == draws[1] != draws[2]


def test_a_shot_with_white_space_of_its_own_gets_no_separator():
    assert _shown(PairItem(prompt="Q:", completion=" yes"), TextFormat(separator="\n")) == "Q: yes"
    assert _shown(PairItem(prompt="Q?", completion="yes"), TextFormat(separator="\n")) == "Q?\nyes"
    assert _shown(PairItem(prompt="Q?", completion="yes"), TextFormat(join="chat_template")) == "Q?\nyes"


@pytest.mark.parametrize(
    ("shown", "completion", "expected"),
    [
        ("It is Oslo, they say", "Oslo.", True),
        ("it is  OSLO\ncity", "Oslo city", True),
        ("born in 1956", "5", False),
        ("the 5th", "5", False),
        ("number 5.", " 5 ", True),
        ("unhoused", "house", False),
        ("住在東京都", "東京", True),
        ("a ... b", "...", True),
        ("nothing of it", "Oslo", False),
    ],
)
def test_giving_away_is_found_whatever_its_case_space_and_punctuation(shown, completion, expected):
    assert gives_away(shown, completion) is expected


@given(st.text(min_size=1).filter(str.strip), st.text(), st.text())
@settings(max_examples=100, deadline=None)
def test_a_completion_that_stands_by_itself_is_always_found(completion, before, behind):
    assert gives_away(f"{before} {completion} {behind}", completion)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (pair(1), {"paraphrase": "the item has no paraphrased_prompts"}),
        (
            text(4),
            {
                "paraphrase": "the item has no paraphrased_prompts",
                "few_shot": "a text has no prompt to show others of",
            },
        ),
        (
            PairItem(id="a", prompt="Say yes.", completion="Yes"),
            {
                "paraphrase": "the item has no paraphrased_prompts",
                **dict.fromkeys(
                    ("prefix_injection", "few_shot", "role_play"),
                    "every such prompt holds the completion already, or is too long for the model",
                ),
            },
        ),
    ],
)
def test_what_cannot_be_asked_is_absent_with_the_reason(item, reason):
    results = Prompts()(scene(forget=[item], shots=NEIGHBOURS))

    assert {result.variant: result.absent for result in results if result.absent} == reason
    assert all((result.attacked is None) == (result.absent is not None) for result in results)


def test_few_shot_without_other_pairs_is_absent():
    results = {result.variant: result for result in Prompts()(scene(forget=[pair(1)]))}

    assert results["few_shot"].absent == "no other pairs were given to show"


def test_of_each_item_the_worst_prompt_counts_and_the_others_are_missing_with_a_reason():
    attacked = scene(forget=FORGET, shots=NEIGHBOURS, reference=trained_on(BENIGN))

    results = {result.variant: result for result in Prompts()(attacked)}

    for family in FAMILIES:
        tried = Prompts()._attempts(attacked, family)
        scored = [leak(attacked.model, [example], pad_id=256).items for example in tried.attacked]
        for item_id, values in results[family].attacked.items.items():
            for metric, value in values.items():
                assert value == max(found[item_id][metric] for found in scored if item_id in found)
        assert results[family].reference.items.keys() == results[family].attacked.items.keys()
    assert results["paraphrase"].attacked.n == 1
    assert {family: results[family].attacked.attempts for family in FAMILIES} == {
        "paraphrase": 2,
        "prefix_injection": 4,
        "few_shot": 4,
        "role_play": 4,
    }
    assert results["paraphrase"].attacked.missing.keys() == {"item-1", "text-4"}
    assert results["few_shot"].attacked.missing == {"text-4": "a text has no prompt to show others of"}


def test_unattacked_are_the_same_items_as_they_are_asked_otherwise():
    attacked = scene(forget=[REWORDED, pair(1)])

    results = {result.variant: result for result in Prompts()(attacked)}

    assert results["role_play"].unattacked == leak(attacked.model, ENCODE([REWORDED, pair(1)]), pad_id=256)
    assert results["paraphrase"].unattacked == leak(attacked.model, ENCODE([REWORDED]), pad_id=256)
    assert results["role_play"].missing == {"reference": NO_REFERENCE}


def test_a_fact_is_asked_as_its_pair():
    fact = FactItem(id="item-1", subject="Code 1", **pair(1).model_dump(include={"prompt", "completion"}))

    for family in ("prefix_injection", "few_shot", "role_play"):
        assert attempts(family, forget=[fact]) == attempts(family, forget=[pair(1)])


def test_the_model_is_afterwards_what_it_was():
    attacked = scene(shots=NEIGHBOURS)
    before = all_of(attacked.model)

    Prompts()(attacked)

    assert same(before, all_of(attacked.model))


def test_cost_grows_with_prompts_shots_and_models_and_is_what_is_reported():
    few, many = (
        scene(forget=FORGET, shots=NEIGHBOURS),
        scene(forget=FORGET, shots=NEIGHBOURS, reference=trained_on(BENIGN)),
    )
    budgets = [PromptsBudget(prompts=1, shots=1), PromptsBudget(prompts=2, shots=1), PromptsBudget(prompts=2, shots=3)]
    costs = [Prompts(budget).cost(few) for budget in budgets]

    assert costs == sorted(set(costs))
    assert Prompts(budgets[-1]).cost(many) > costs[-1]
    plain = {example for family in FAMILIES for example in Prompts()._attempts(few, family).plain}
    spent = sum(result.budget["forward_tokens"] for result in Prompts(budgets[-1])(few))
    assert spent + num_tokens(plain) == costs[-1]


def test_cost_by_hand():
    """A single opening before a single pair, and the pair without it."""
    attacked = scene(forget=[pair(1)])
    (plain,) = ENCODE([pair(1)])

    tried = Prompts(PromptsBudget(prompts=1))._attempts(attacked, "prefix_injection")

    assert num_tokens(tried.attacked) + num_tokens(tried.plain) == 2 * len(plain.tokens) + len(OPENINGS[0]) + 1


def test_of_many_items_the_seed_draws_some():
    drawn = [
        {item_id for item_id, _, _ in attempts("role_play", budget=PromptsBudget(max_items=1, seed=seed))}
        for seed in (0, 0, 1, 2, 3)
    ]

    assert drawn[0] == drawn[1]
    assert all(len(ids) == 1 for ids in drawn)
    assert len(set.union(*drawn)) > 1
