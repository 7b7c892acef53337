"""Rewrites the golden bytes of every contract: run it only for a deliberate change of the wire.

Usage: ``python -m scripts.write_goldens``
"""

from tests.contracts.golden import PATH, render


def main() -> None:
    """Write ``tests/contracts/golden/messages.json`` from the hand-made examples."""
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(render())


if __name__ == "__main__":
    main()
