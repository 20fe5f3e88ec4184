from core.domain.report import ItemResult
from core.packaging.dispositions import Return, dispositions_of, is_over
from tests.unit.core.packaging.reports import make_attack, make_outcome, make_report, make_set


def with_items(*items):
    return make_set(before=1.0, after=0.1, ids=("one",)).model_copy(update={"items": list(items)})


def an_item(name, *, after=0.1, **facts):
    return ItemResult(id=name, before={"extraction_strength": 1.0}, after={"extraction_strength": after}, **facts)


def ids(rows):
    return [row.item.id for row in rows]


def test_each_item_is_in_one_list():
    found = dispositions_of(
        make_report(
            forget=with_items(
                an_item("gone", forgotten=True),
                an_item("there", forgotten=False, after=0.9),
                an_item("two", forgotten=True),
                an_item("unknown", forgotten=True, was_known=False),
                an_item("unasked"),
            ),
            attacks=[make_attack()],
        )
    )

    assert ids(found.not_forgotten) == ["there"]
    assert ids(found.came_back) == ["two"]
    assert ids(found.forgotten) == ["gone"]
    assert ids(found.never_known) == ["unknown"]
    assert ids(found.unasked) == ["unasked"]


def test_item_that_comes_back_in_a_reference_too_says_so():
    attack = make_attack(
        attacked=make_outcome({"one": 0.9, "two": 0.9}), reference=make_outcome({"one": 0.9, "two": 0.1})
    )

    one, two = dispositions_of(make_report(attacks=[attack])).came_back

    assert one.returns == [Return("Relearning: on texts of the same kind", is_known_to_reference=True)]
    assert two.returns == [Return("Relearning: on texts of the same kind", is_known_to_reference=False)]


def test_attack_that_has_no_value_of_an_item_does_not_count():
    attacks = [make_attack(attacked=make_outcome({"one": 0.1})), make_attack(attacked=None, absent="not made")]

    one, two = dispositions_of(make_report(attacks=attacks)).forgotten

    assert one.num_attacks == 1
    assert two.num_attacks == 0


def test_limit_itself_is_not_over():
    assert not is_over({"a": 0.25, "other": 9.0}, {"a": 0.25})
    assert is_over({"a": 0.26}, {"a": 0.25})


def test_an_item_that_the_attacker_taught_is_not_back():
    found = dispositions_of(
        make_report(forget=with_items(an_item("two", forgotten=True)), attacks=[make_attack(variant="answers")])
    )

    assert ids(found.forgotten) == ["two"]
    assert found.forgotten[0].num_attacks == 0
