"""A report for a browser: one HTML file with everything in it, that asks nobody for anything. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from trimtab.evaluation.gates import Gate

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}svg{width:100%;max-width:40rem}
svg text{font:11px system-ui,sans-serif;fill:#444}svg .g{stroke:#e4e4e4}svg .m{stroke:#b00020;stroke-dasharray:5 4}
.pass{color:#1b6e3c}.fail{color:#b00020;font-weight:600}
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below a head."""

    head: Sequence[str]
    """Names of the columns."""
    rows: Sequence[Sequence[str]]
    """Cells as text."""

    def html(self) -> str:
        """Return it as an element."""
        head = "".join(f"<th>{escape(name)}</th>" for name in self.head)
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a page: some words, then tables and charts."""

    title: str
    """Above it."""
    text: str = ""
    """What is seen here."""
    parts: Sequence[str] = ()
    """Elements: of :meth:`Table.html` or of :mod:`trimtab.evaluation.chart`."""


def page(title: str, summary: str, gates: Sequence[Gate], sections: Sequence[Section]) -> str:
    """Return the whole page."""
    judged = "".join(
        f'<li class="{"pass" if gate.ok else "fail"}">{escape(gate.line())}</li>' for gate in gates
    )
    body = "".join(
        f"<h2>{escape(section.title)}</h2><p>{escape(section.text)}</p>{''.join(section.parts)}"
        for section in sections
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1><p>{escape(summary)}</p><ul>{judged}</ul>{body}</body></html>\n"
    )
