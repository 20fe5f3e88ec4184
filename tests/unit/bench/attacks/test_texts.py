from bench.attacks.texts import attacked_texts, in_other_words, sums
from cli.demo.options import DemoOptions
from cli.demo.service import items_of
from core.domain.items import normalized


def test_texts_to_forget_are_those_of_the_demo():
    demo = DemoOptions()

    texts = attacked_texts(demo)

    asked = items_of(demo.population().forget)
    assert [normalized(item) for item in texts.forget] == [normalized(item) for item in asked]


def test_other_wordings_are_no_texts_of_the_request():
    forget = attacked_texts(DemoOptions()).forget

    reworded = in_other_words(forget)

    assert {item.completion for item in reworded} <= {getattr(item, "completion", None) for item in forget}
    assert not {normalized(item) for item in reworded} & {normalized(item) for item in forget}


def test_sums_are_right_and_no_two_are_alike():
    found = sums()

    assert len({item.prompt for item in found}) == len(found) == 100
    for item in found:
        a, b = (int(number) for number in item.prompt.split("is ")[1].split("?")[0].split(" plus "))
        assert int(item.completion) == a + b
