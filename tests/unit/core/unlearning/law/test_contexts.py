from core.unlearning.law.contexts import write_contexts
from tests.unit.core.unlearning.law.conftest import tiny_base

STARTS = ("The", "Therefore", "Because", "I", "You")


def test_contexts_go_on_from_the_published_words():
    contexts = write_contexts(tiny_base(), count=5)

    assert all(context.startswith(word) for context, word in zip(contexts, STARTS, strict=True))
    assert all(context.endswith(". ") for context in contexts)


def test_as_many_as_asked_for_and_the_same_every_time():
    assert write_contexts(tiny_base(), count=0) == []
    assert write_contexts(tiny_base(), count=2) == write_contexts(tiny_base(), count=5)[:2]
