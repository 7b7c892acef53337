"""Writes ``docs/rollout-states.md`` from the table in ``services/controller/rollout.py``.

Usage: ``python -m scripts.export_rollout``
"""

from pathlib import Path

from services.controller.rollout import MOVES, diagram

PATH = Path(__file__).parents[1] / "docs" / "rollout-states.md"

_INTRODUCTION = """\
# States of a rollout

Generated from the table in `services/controller/rollout.py` by `python -m scripts.export_rollout`; a test fails when
it is stale. A move that is not listed is illegal and changes nothing; promoted, rolled back and aborted are ends:
nothing restarts by itself.
"""


def render() -> str:
    """Return the whole page: the diagram, then every move."""
    rows = [
        f"| {phase.value} | {event.value} | {target.value} |"
        for phase, moves in MOVES.items()
        for event, target in moves.items()
    ]
    table = ["| in phase | when | to phase |", "|---|---|---|", *rows]
    return "\n".join([_INTRODUCTION, "```mermaid", diagram(), "```", "", *table]) + "\n"


def main() -> None:
    """Write the page."""
    PATH.write_text(render())


if __name__ == "__main__":
    main()
