import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

# matplotlib knows no CSS variables. It draws in colours that mean nothing, and each becomes the variable of its name.
COLOURS = {
    "ink": "#000101",
    "soft": "#000102",
    "line": "#000103",
    "card": "#000104",
    "a": "#000105",
    "b": "#000106",
    "c": "#000107",
    "d": "#000108",
    "bad": "#000109",
}

# One unit is one pixel on a phone. Wider screens scale the drawing up, so no text is ever smaller than this.
WIDTH = 340.0
FONT_SIZE = 11.0

_STYLE: dict[RcKeyType, object] = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and escaped
    "text.parse_math": False,  # names are the client's and may hold dollar signs
    "font.size": FONT_SIZE,
    "axes.titlesize": FONT_SIZE,
    "axes.labelsize": FONT_SIZE,
    "xtick.labelsize": FONT_SIZE,
    "ytick.labelsize": FONT_SIZE,
    "legend.fontsize": FONT_SIZE,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.borderpad": 0.0,
    "legend.labelspacing": 0.3,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["soft"],
    "axes.titlecolor": COLOURS["ink"],
    "axes.titlelocation": "left",
    "axes.edgecolor": COLOURS["line"],
    "axes.facecolor": "none",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "grid.color": COLOURS["line"],
    "grid.linewidth": 0.6,
    "xtick.color": COLOURS["soft"],
    "ytick.color": COLOURS["soft"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
}

_NAMES = {colour: name for name, colour in COLOURS.items()}
_KEPT = {"stroke-width", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "text-anchor"}
_NUMBER = re.compile(r"-?\d+\.\d+")


@dataclass(frozen=True)
class Chart:
    """A drawing with its text alternative. ``svg`` is an element for the page, which is safe to print as it is."""

    title: str
    description: str
    svg: str


def draw(name: str, title: str, description: str, paint: Callable[[Figure], None], *, height: float) -> Chart:
    """Return what ``paint`` draws, the same for the same input, in the colours of the page around it.

    Args:
        name: of the drawing, unlike that of any other on the page: ids begin with it.
        title: what it shows.
        description: the same in words, for whoever does not see it.
        paint: draws into a figure, in ``COLOURS`` alone.
        height: in units of which ``WIDTH`` is the width.

    Raises:
        ValueError: something was painted in another colour, which would not follow the page from light to dark.
    """
    written = io.StringIO()
    with rc_context(_STYLE | {"svg.hashsalt": name}):
        # A figure of its own, never pyplot's: nothing outlives this call.
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        paint(figure)
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(written, metadata=metadata)
    root = ET.fromstring(written.getvalue())  # noqa: S314  # matplotlib wrote it just now
    svg = ET.Element(
        "svg",
        {
            "viewBox": f"0 0 {WIDTH:g} {height:g}",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-desc",
            "class": "drawing",
        },
    )
    ET.SubElement(svg, "title", id=f"{name}-title").text = title
    ET.SubElement(svg, "desc", id=f"{name}-desc").text = description
    svg.extend([drawn for child in root for drawn in _drawn(child)])
    return Chart(title, description, ET.tostring(svg, encoding="unicode"))


def _drawn(element: ET.Element) -> list[ET.Element]:
    """Return what is left of an element without its namespace, fixed colours, fonts and groups that group nothing."""
    tag = element.tag.rpartition("}")[2]
    children = [drawn for child in element for drawn in _drawn(child)]
    if tag in {"metadata", "style", "clipPath"}:  # nothing is drawn beyond its axes, so nothing is clipped
        return []
    attributes = _attributes(element)
    if tag == "g" and not attributes:
        return children
    if (tag == "defs" and not children) or (tag == "path" and attributes.keys() <= {"d", "fill"}):
        return []
    drawn = ET.Element(tag, attributes)
    drawn.text = (element.text or "").strip() or None
    drawn.extend(children)
    return [drawn]


def _attributes(element: ET.Element) -> dict[str, str]:
    found: dict[str, str] = {}
    classes: list[str] = []
    for raw, value in element.attrib.items():
        match raw.rpartition("}")[2]:
            case "style":
                _add_style(value, found, classes)
            case "d" | "x" | "y" | "points" as name:
                found[name] = _NUMBER.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), _one_line(value))
            case "transform" if not value.startswith("rotate(-0 "):
                found["transform"] = value
            case "href":
                found["href"] = value
            case "id" if element.tag.endswith("path"):  # markers, which are drawn once and used again
                found["id"] = value
    if classes:
        found["class"] = " ".join(classes)
    return found


def _add_style(style: str, attributes: dict[str, str], classes: list[str]) -> None:
    for declaration in style.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name in {"fill", "stroke"} and value == "none":
            attributes[name] = value
        elif name in {"fill", "stroke"}:
            if value not in _NAMES:
                raise ValueError(f"{name} {value} is none of the page's colours: paint in {', '.join(COLOURS)}")
            classes.append(f"{name}-{_NAMES[value]}")
        elif name in _KEPT:
            attributes[name] = value


def _one_line(path: str) -> str:
    return " ".join(path.split())
