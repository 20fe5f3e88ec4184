import pytest

from tests.fakes.examples import a_base_model
from tests.unit.api.harness import World, a_body, post, problem, settings

TEXT = {"text": "Ada lives here."}
PAIR = {"prompt": "Where is Ada?", "completion": "Here."}

WRONG = {
    "no base model": ({"forget": [TEXT]}, "missing_field", "/base_model"),
    "impossible base model": (a_body(base_model="../x y"), "invalid_field", "/base_model"),
    "unknown base model": (a_body(base_model="unknown"), "unknown_base_model", "/base_model"),
    "no forget": ({"base_model": "people/neo-6m"}, "missing_field", "/forget"),
    "forget is no list": (a_body(forget={}), "invalid_field", "/forget"),
    "nothing to forget": (a_body(forget=[]), "invalid_field", "/forget"),
    "item is a string": (a_body(forget=["Ada"]), "invalid_field", "/forget/0"),
    "item without a field": (a_body(forget=[{}]), "missing_field", "/forget/0/text"),
    "pair without completion": (a_body(forget=[TEXT, {"prompt": "a"}]), "missing_field", "/forget/1/completion"),
    "text is a number": (a_body(forget=[{"text": 5}]), "invalid_field", "/forget/0/text"),
    "unknown field of an item": (a_body(forget=[TEXT | {"txet": "a"}]), "unknown_field", "/forget/0"),
    "empty text": (a_body(forget=[{"text": ""}]), "empty_text", "/forget/0/text"),
    "white space": (a_body(forget=[{"prompt": " \n\t", "completion": "b"}]), "empty_text", "/forget/0/prompt"),
    "invisible text": (a_body(forget=[{"text": "\u200b\u2060 "}]), "empty_text", "/forget/0/text"),
    "empty retain text": (a_body(retain=[{"text": " "}]), "empty_text", "/retain/0/text"),
    "blank paraphrase": (
        a_body(forget=[PAIR | {"paraphrased_completion": " "}]),
        "empty_text",
        "/forget/0/paraphrased_completion",
    ),
    "empty perturbation": (
        a_body(forget=[PAIR | {"perturbed_completions": ["There.", "Gone.", ""]}]),
        "empty_text",
        "/forget/0/perturbed_completions/2",
    ),
    "invisible other prompt": (
        a_body(retain=[PAIR | {"paraphrased_prompts": ["\u200b"]}]),
        "empty_text",
        "/retain/0/paraphrased_prompts/0",
    ),
    "no perturbation at all": (
        a_body(forget=[PAIR | {"perturbed_completions": []}]),
        "invalid_field",
        "/forget/0/perturbed_completions",
    ),
    "perturbation is a number": (
        a_body(forget=[PAIR | {"perturbed_completions": ["There.", 5]}]),
        "invalid_field",
        "/forget/0/perturbed_completions/1",
    ),
    "impossible item id": (a_body(forget=[TEXT | {"id": "a b"}]), "invalid_field", "/forget/0/id"),
    "duplicate item": (a_body(forget=[TEXT, TEXT]), "duplicate_item", "/forget/1"),
    "duplicate id": (
        a_body(forget=[TEXT | {"id": "a"}, {"id": "a", "text": "b c"}]),
        "duplicate_item",
        "/forget/1/id",
    ),
    "overlap": (a_body(forget=[TEXT], retain=[TEXT]), "forget_retain_overlap", "/retain/0"),
    "nothing to retain": (a_body(retain=[]), "invalid_field", "/retain"),
    "too many": (a_body(forget=[{"text": f"t{n}"} for n in range(6)]), "too_many_items", "/forget"),
    "too many to retain": (a_body(retain=[{"text": f"t{n}"} for n in range(6)]), "too_many_items", "/retain"),
    "too many characters": (a_body(forget=[{"text": "a" * 2001}]), "item_too_long", "/forget/0"),
    "a single token": (a_body(forget=[{"text": "a"}]), "item_too_short", "/forget/0"),
    "too many tokens": (a_body(forget=[{"text": "a " * 257}]), "item_too_long", "/forget/0"),
    "method is a string": (a_body(method="loku"), "invalid_field", "/method"),
    "method is null": (a_body(method=None), "invalid_field", "/method"),
    "method without a name": (a_body(method={"r": 8}), "missing_field", "/method/name"),
    "unknown method": (a_body(method={"name": "magic"}), "unknown_method", "/method/name"),
    "method name is a number": (a_body(method={"name": 1}), "unknown_method", "/method/name"),
    "unknown option": (a_body(method={"name": "loku", "rnak": 8}), "unknown_option", "/method/rnak"),
    "option that is no name": (a_body(method={"name": "loku", "a b": 8}), "unknown_option", "/method"),
    "option that looks like no option": (a_body(method={"name": "loku", "Ada": 8}), "unknown_option", "/method"),
    "impossible rank": (a_body(method={"name": "loku", "r": 5}), "invalid_field", "/method/r"),
    "negative rate": (a_body(method={"name": "loku", "learning_rate": -1}), "invalid_field", "/method/learning_rate"),
    "rate is a string": (
        a_body(method={"name": "loku", "learning_rate": "1"}),
        "invalid_field",
        "/method/learning_rate",
    ),
    "seed is a boolean": (a_body(method={"name": "loku", "seed": True}), "invalid_field", "/method/seed"),
    "target is a number": (
        a_body(method={"name": "loku", "target_modules": [1]}),
        "invalid_field",
        "/method/target_modules/0",
    ),
    "unknown field": (a_body(forgets=[]), "unknown_field", ""),
    "external id too long": (a_body(external_id="a" * 257), "invalid_field", "/external_id"),
    "external id empty": (a_body(external_id=""), "invalid_field", "/external_id"),
    "metadata too many": (a_body(metadata={str(n): "" for n in range(17)}), "invalid_field", "/metadata"),
    "metadata key too long": (a_body(metadata={"k" * 65: ""}), "invalid_field", "/metadata"),
    "metadata value too long": (a_body(metadata={"k": "v" * 513}), "invalid_field", "/metadata"),
    "metadata value is a number": (a_body(metadata={"k": 1}), "invalid_field", "/metadata"),
    "NUL in a text": (a_body(forget=[{"text": "a\0b"}]), "invalid_text", "/forget/0/text"),
    "NUL in a paraphrase": (
        a_body(forget=[PAIR | {"paraphrased_completion": "a\0b"}]),
        "invalid_text",
        "/forget/0/paraphrased_completion",
    ),
    "half a pair in a perturbation": (
        a_body(forget=[PAIR | {"perturbed_completions": ["There.", "Gone.", "a\ud800"]}]),
        "invalid_text",
        "/forget/0/perturbed_completions/2",
    ),
    "NUL in another prompt": (
        a_body(retain=[PAIR | {"paraphrased_prompts": ["a\0b"]}]),
        "invalid_text",
        "/retain/0/paraphrased_prompts/0",
    ),
    "NUL in metadata": (a_body(metadata={"k": "a\0b"}), "invalid_text", "/metadata"),
    "NUL in a key": (a_body(metadata={"k\0": "a"}), "invalid_text", "/metadata"),
    "NUL in the external id": (a_body(external_id="a\0"), "invalid_text", "/external_id"),
    "half a surrogate pair": (a_body(forget=[{"text": "a\ud800b"}]), "invalid_text", "/forget/0/text"),
    "half a pair in an option": (a_body(method={"name": "loku", "\udc00": 1}), "invalid_text", "/method"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_field_is_named(client, name):
    body, code, param = WRONG[name]
    refused = problem(post(client, body), 422, code, param)
    assert refused["retryable"] is False


def test_nothing_is_stored_of_a_refused_request(world, client):
    for body, _, _ in WRONG.values():
        post(client, body)
    assert set(world.items.sets) == {"set_retain"}
    assert not world.queue.published


def test_an_unknown_method_lists_those_there_are(client):
    refused = problem(post(client, WRONG["unknown method"][0]), 422, "unknown_method", "/method/name")
    assert "loku" in refused["detail"]
    assert "magic" not in str(refused)


def test_an_unknown_option_is_refused_by_name(client):
    refused = problem(post(client, WRONG["unknown option"][0]), 422, "unknown_option", "/method/rnak")
    assert "rnak" in refused["detail"]


def test_an_unbounded_loss_without_stop_checks_is_refused_with_the_remedy(client):
    method = {"name": "ofmu", "forget_loss": "cross_entropy", "early_stopping": False}
    refused = problem(post(client, a_body(method=method)), 422, "invalid_field", "/method/forget_loss")
    assert "leave early_stopping on" in refused["detail"]


@pytest.mark.parametrize("name", ["AdaLovelace", "_ada", "a" * 42, "ada lovelace"])
def test_an_option_that_looks_like_none_is_not_echoed_and_those_there_are_listed(client, name):
    refused = problem(post(client, a_body(method={"name": "loku", name: 8})), 422, "unknown_option", "/method")
    assert name not in str(refused)
    assert "learning_rate" in refused["detail"]


def test_a_retain_set_is_required_where_the_model_has_none(world, client):
    world.base_models.add(a_base_model("bare", retain_set_id=None))
    problem(post(client, a_body(base_model="bare")), 422, "retain_set_required", "/retain")


def test_other_wordings_of_an_item_are_taken_and_stored(world, client):
    wordings = {
        "paraphrased_completion": "In this place.",
        "perturbed_completions": ["There.", "Gone."],
        "paraphrased_prompts": ["Ada is where?"],
    }

    assert post(client, a_body(forget=[PAIR | wordings])).status_code == 202

    (stored,) = [item_set for item_set in world.items.sets.values() if item_set.id != "set_retain"]
    assert stored.items[0].model_dump(mode="json", exclude={"id", "subject"}) == PAIR | wordings


def test_the_longest_item_and_the_largest_set_pass(client):
    longest = {"text": "a " * 256}  # words, a token each
    widest = [longest, *({"text": f"t {n}"} for n in range(4))]
    assert post(client, a_body(forget=widest)).status_code == 202


def test_the_longest_names_and_notes_pass():
    metadata = {f"{n:064}": "v" * 512 for n in range(16)}
    client = World(settings()).client()
    assert post(client, a_body(external_id="a" * 256, metadata=metadata)).status_code == 202
