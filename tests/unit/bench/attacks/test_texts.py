from bench.attacks.texts import attacked_texts, sums
from cli.demo.options import DemoOptions
from cli.demo.service import items_of
from core.domain.items import PairItem, normalized


def test_texts_to_forget_are_those_of_the_demo():
    demo = DemoOptions()

    texts = attacked_texts(demo)

    asked = items_of(demo.population().forget)
    assert [normalized(item) for item in texts.forget] == [normalized(item) for item in asked]


def test_questions_about_unseen_people_are_asked_in_as_many_wordings_as_the_forgotten_ones():
    texts = attacked_texts(DemoOptions())

    forgotten, unseen = (
        {item.id.split(":")[1]: len(item.paraphrased_prompts) for item in items if isinstance(item, PairItem)}
        for items in (texts.forget, texts.holdout)
    )
    assert forgotten == unseen
    assert min(forgotten.values()) > 0


def test_sums_are_right_and_no_two_are_alike():
    found = sums()

    assert len({item.prompt for item in found}) == len(found) == 100
    for item in found:
        a, b = (int(number) for number in item.prompt.split("is ")[1].split("?")[0].split(" plus "))
        assert int(item.completion) == a + b
