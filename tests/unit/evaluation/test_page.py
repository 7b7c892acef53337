"""A report holds everything in one file, asks nobody for anything, and runs nothing it was told."""

import itertools
import math
import re
from xml.etree import ElementTree

import pytest

from trimtab.evaluation.chart import Line, Mark, bars, grouped, lines
from trimtab.evaluation.gates import at_least
from trimtab.evaluation.page import Section, Table, page

SVG = "{http://www.w3.org/2000/svg}"


def test_a_line_chart_is_well_formed_and_higher_values_lie_higher() -> None:
    drawn = lines(["4", "8", "16"], [Line("p95", [3.0, 5.0, 10.0])], [Mark("target", 8.0)], "ms")

    root = ElementTree.fromstring(drawn)
    points = root.find(f"{SVG}polyline")
    assert points is not None
    heights = [float(pair.split(",")[1]) for pair in points.attrib["points"].split()]
    assert heights == sorted(heights, reverse=True)
    assert len(root.findall(f"{SVG}circle")) == 3
    assert "target" in drawn


def test_bars_are_as_high_as_their_values_and_stay_inside() -> None:
    root = ElementTree.fromstring(bars(["a", "b", "c"], [1, 2, 0], "lists"))

    heights = [float(bar.attrib["height"]) for bar in root.findall(f"{SVG}rect")]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    assert heights[2] == 0
    for number in re.findall(r'y\d?="([-\d.]+)"', ElementTree.tostring(root).decode()):
        assert 0 <= float(number) <= 260


def test_groups_of_bars_stand_side_by_side_and_are_named() -> None:
    drawn = grouped(["R@1", "R@5"], [Line("off", [20, 40]), Line("on", [30, 60])], "percent")

    found = ElementTree.fromstring(drawn).findall(f"{SVG}rect")
    spans = sorted(
        (float(bar.attrib["x"]), float(bar.attrib["width"]), bar[0].text) for bar in found
    )
    assert [title for _, _, title in spans] == [
        "R@1 off: 20",
        "R@1 on: 30",
        "R@5 off: 40",
        "R@5 on: 60",
    ]
    for (left, width, _), (following, _, _) in itertools.pairwise(spans):
        assert left + width <= following + 0.2
    assert ">off</text>" in drawn


def test_a_chart_of_equal_values_and_of_none_can_be_drawn() -> None:
    for drawn in (
        bars([], [], "x"),
        bars(["a"], [0.0], "x"),
        lines(["a", "b"], [Line("same", [2.0, 2.0])], [], "x"),
    ):
        assert "nan" not in drawn
        ElementTree.fromstring(drawn)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([3.2, 4.8, 7.1, 10.5], ["2", "4", "6", "8", "10", "12"]),
        ([-28.8, -0.2], ["-30", "-20", "-10", "0"]),
        ([0.25, 0.25], ["0.25", "0.3"]),
        ([0.0, 282.0], ["0", "100", "200", "300"]),
    ],
)
def test_the_scale_is_marked_with_round_numbers(values: list[float], shown: list[str]) -> None:
    root = ElementTree.fromstring(lines(["x"] * len(values), [Line("y", values)], [], "ms"))

    marked = [e.text for e in root.findall(f"{SVG}text") if e.get("x") == "58"]
    assert marked == shown


def test_a_page_is_one_file_that_loads_nothing_and_escapes_what_it_shows() -> None:
    evil = '<script src="https://evil.example/x.js"></script>'
    drawn = page(
        evil,
        evil,
        [at_least("overlap", math.nan, 0.95, evil)],
        [Section(evil, evil, [Table((evil,), [(evil,)]).html(), bars([evil], [1.0], evil)])],
    )

    assert "<script" not in drawn
    assert re.findall(r"<(?:link|img|iframe|script|object|embed)\b", drawn) == []
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?http""", drawn.replace(evil, "")) == []
    assert '<li class="fail">FAIL' in drawn
