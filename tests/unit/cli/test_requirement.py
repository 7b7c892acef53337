"""Requirements as wheels state them: name, extra, bounds; and whether a version will do."""

import pytest

from trimtab.cli.checks.requirement import numbers, parse


def test_lines_of_real_metadata_are_read() -> None:
    found = parse(
        [
            "uvicorn[standard]<0.8,>=0.7.8",
            "onnx>=1.19; extra == 'encoder'",
            'pystemmer (>=3.0) ; (python_version > "3.8") and extra == "retriever"',
            "trimtab[encoder]; extra == 'all'",
            "rich",
        ]
    )

    assert [(r.name, r.extra, r.at_least, r.below) for r in found] == [
        ("uvicorn", "", (0, 7, 8), (0, 8)),
        ("onnx", "encoder", (1, 19), ()),
        ("pystemmer", "retriever", (3, 0), ()),
        ("rich", "", (), ()),
    ]


@pytest.mark.parametrize(
    ("version", "fits"),
    [("0.7.7", False), ("0.7.8", True), ("0.7.12rc1", True), ("0.8.0", False), ("1.0", False)],
)
def test_a_version_fits_between_its_bounds(version: str, fits: bool) -> None:
    [server] = parse(["uvicorn[standard]<0.8,>=0.7.8"])

    assert server.accepts(version) is fits


def test_local_parts_of_a_version_are_not_numbers_of_it() -> None:
    assert numbers("2.13.0+cpu2") == (2, 13, 0)


def test_a_line_that_is_no_requirement_is_refused() -> None:
    with pytest.raises(ValueError, match="not a requirement"):
        parse(["; extra"])
