import re

import matplotlib as mpl
import pytest

from core.packaging.drawing import COLOURS, draw


def drawn(colour=COLOURS["a"], text="words", name="sample"):
    def paint(figure):
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=colour, marker="o")
        axes.set_title(text)

    return draw(name, "Title", "Description", paint, height=100).svg


def test_colours_become_variables_of_the_page():
    svg = drawn()

    assert "stroke-a" in svg
    assert "fill-a" in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg)


def test_colour_that_the_page_does_not_have_is_refused():
    with pytest.raises(ValueError, match="#ff0000 is none of the page's colours"):
        drawn(colour="#ff0000")


def test_text_stays_text_and_is_escaped():
    assert "&lt;b&gt; $x_1$ &amp;</text>" in drawn(text="<b> $x_1$ &")


def test_drawing_is_the_same_twice():
    assert drawn() == drawn()


def test_marks_of_two_drawings_have_ids_of_their_own():
    first, second = (set(re.findall(r' id="([^"]+)"', drawn(name=name))) for name in ("one", "two"))

    assert len(first) == 3  # title, description, mark
    assert not first & second


def test_drawing_leaves_no_setting_behind():
    before = dict(mpl.rcParams)

    drawn()

    assert dict(mpl.rcParams) == before


def test_drawing_names_no_address():
    assert "://" not in drawn()
