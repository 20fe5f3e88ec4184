import pytest

from bench.tofu.data import TofuError, load_protocol


def texts(items):
    return {item.prompt for item in items}


def test_authors_keep_all_that_is_forgotten_and_the_first_of_the_others(write_tofu):
    protocol = load_protocol(write_tofu(), "01", authors=3)

    assert len(protocol.forget) == 40
    assert [item.id for item in protocol.retain] == [f"retain99-{place}" for place in range(20)]
    assert texts(protocol.retain_measured) == texts(protocol.retain)
    assert protocol.num_left_out == 260


def test_rows_that_measure_membership_are_in_no_other_set(write_tofu):
    protocol = load_protocol(write_tofu(), "01", authors=3)

    assert (len(protocol.membership), len(protocol.holdout)) == (200, 60)
    assert not texts(protocol.membership) & (texts(protocol.holdout) | texts(protocol.retain) | texts(protocol.forget))


def test_without_left_out_authors_nothing_measures_membership(write_tofu):
    protocol = load_protocol(write_tofu(), "01")

    assert (protocol.membership, protocol.holdout, protocol.num_left_out) == ([], [], 0)


def test_other_wordings_become_those_of_the_item(write_tofu):
    protocol = load_protocol(write_tofu(), "01", authors=3)

    item = protocol.forget[1]
    assert item.prompt == "Question: What is fact 1 of writer 98?\nAnswer:"
    assert item.completion == "Writer 98 has 105 books."
    assert item.paraphrased_completion == "There are 105 books by writer 98."
    assert item.perturbed_completions == ("There are 501 books by writer 98.", "There are 601 books by writer 98.")
    assert item.paraphrased_prompts == ("Question: Tell fact 1 of writer 98.\nAnswer:",)


def test_an_answer_without_other_words_stands_for_them(write_tofu):
    protocol = load_protocol(write_tofu(), "01", authors=3)

    assert protocol.world_facts[2].paraphrased_completion == "Land 2"


def test_a_missing_file_is_named(write_tofu):
    with pytest.raises(TofuError, match=r"retain_perturbed\.jsonl is missing"):
        load_protocol(write_tofu(retain_perturbed=None), "01")


def test_a_missing_column_is_named_with_its_line(write_tofu):
    rows = [{"question": "a?", "answer": "b", "perturbed_answer": ["c"]}, {"question": "d?"}]
    with pytest.raises(TofuError, match=r"real_authors_perturbed\.jsonl, line 2: .* answer"):
        load_protocol(write_tofu(real_authors_perturbed=rows), "01")


def test_forget_rows_need_other_wordings(write_tofu):
    with pytest.raises(TofuError, match="missing: paraphrased_answer, perturbed_answer"):
        load_protocol(write_tofu(forget01_perturbed=[{"question": "a?", "answer": "b"}]), "01")


@pytest.mark.parametrize("authors", [2, 201])
def test_a_number_of_authors_that_does_not_fit_is_refused(write_tofu, authors):
    with pytest.raises(TofuError, match="give 3 to 200"):
        load_protocol(write_tofu(), "01", authors=authors)
