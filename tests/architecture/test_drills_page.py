"""The page about the drills names every drill there is, and no other."""

import re

from tests.architecture.tree import ROOT

PAGE = ROOT / "docs" / "drills.md"
_ROW = re.compile(r"^\| `([a-z_]+)` \|", re.MULTILINE)


def test_every_drill_has_its_row_and_every_row_its_drill() -> None:
    drills = {
        path.stem.removeprefix("test_drill_")
        for path in (ROOT / "tests" / "drills").glob("test_drill_*.py")
    }

    named = _ROW.findall(PAGE.read_text())

    # The table of figures names figures alone, and those are no files.
    assert {name for name in named if not name.endswith("_s")} == drills
