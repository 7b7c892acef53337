"""``python -m services.mapper.migration diff|plan|apply|invert``: from one taxonomy version to another.

Asked for by `trimtab mapper taxonomy`; needs no deployment.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from services.mapper.command import add_json, finish
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.taxonomy import Taxonomy, load_taxonomy
from services.mapper.migration import applying
from services.mapper.migration.drafting import difference, draft
from services.mapper.migration.plan import LossyPlan, Plan, check, inverted, read_plan, written
from services.mapper.train import taxonomy_file

Told = tuple[Any, list[str]]


def _pairs(given: Sequence[str], name: str) -> dict[str, str]:
    """Return ``A=B`` pairs; raises DefinitionInvalid for anything else."""
    found = {}
    for text in given:
        before, equals, after = text.partition("=")
        if not (before and equals and after):
            raise DefinitionInvalid("plan", text, f"write --{name} LABEL=LABEL")
        found[before] = after
    return found


def _lists(given: Sequence[str], name: str) -> dict[str, list[str]]:
    return {one: several.split(",") for one, several in _pairs(given, name).items()}


def _both(given: argparse.Namespace) -> tuple[Taxonomy, Taxonomy]:
    return load_taxonomy(taxonomy_file(given.old)), load_taxonomy(taxonomy_file(given.new))


def diff(given: argparse.Namespace) -> Told:
    """Show what differs."""
    told = difference(*_both(given))
    lines = [f"{told['before']} -> {told['after']}"]
    lines += [f"- {label}" for label in told["gone"]] + [f"+ {label}" for label in told["new"]]
    lines += [f"likely renamed: {old} -> {new}" for old, new in told["likely_renames"].items()]
    lines += [f"changed {label}: {', '.join(parts)}" for label, parts in told["changed"].items()]
    return told, lines


def plan(given: argparse.Namespace) -> Told:
    """Make a plan and check it."""
    old, new = _both(given)
    made = draft(
        old,
        new,
        renames=_pairs(given.rename, "rename"),
        merges=_lists(given.merge, "merge"),
        splits=_lists(given.split, "split"),
        removals=given.remove,
    )
    check(made, old, new)
    return _kept(made, given.out)


def invert(given: argparse.Namespace) -> Told:
    """Make the plan that takes one back."""
    return _kept(inverted(read_plan(given.plan)), given.out)


def apply(given: argparse.Namespace) -> Told:
    """Apply a plan to files."""
    old, new = _both(given)
    made = read_plan(given.plan)
    check(made, old, new)
    files = applying.Files(given.detectors, given.examples, given.golden, given.frameworks)
    found = applying.apply(made, old, new, files)
    out = given.out
    done = applying.write(found, out) if out is not None or given.write else []
    told = applying.shape(found, done)
    return told, applying.lines(told)


def _kept(made: Plan, out: Path | None) -> Told:
    told = msgspec.to_builtins(made)
    lines = [f"{made.taxonomy}@{made.before.version} -> {made.after.version}"]
    lines += [f"rename {old} -> {new}" for old, new in made.renames.items()]
    lines += [f"merge {', '.join(olds)} -> {new}" for new, olds in made.merges.items()]
    lines += [f"split {old} -> {', '.join(each.into)}" for old, each in made.splits.items()]
    lines += [f"remove {label}" for label in made.removals]
    lines += [f"add {label}" for label in made.additions]
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(written(made))
        lines.append(f"wrote {out}")
    return told, lines


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m services.mapper.migration", description=__doc__)
    verbs = made.add_subparsers(dest="verb", required=True)
    for work, places, options in _VERBS:
        verb = verbs.add_parser(work.__name__, help=work.__doc__)
        verb.set_defaults(work=work, write=False)
        for place in places:
            verb.add_argument(place, type=Path if place == "plan" else str)
        for option in options:
            _OPTIONS[option](verb, f"--{option}")
        add_json(verb)
    return made


def _fate(verb: argparse.ArgumentParser, name: str) -> None:
    verb.add_argument(name, action="append", default=[])


def _place(verb: argparse.ArgumentParser, name: str) -> None:
    verb.add_argument(name, type=Path)


def _flag(verb: argparse.ArgumentParser, name: str) -> None:
    verb.add_argument(name, action="store_true")


_FATES = ("rename", "merge", "split", "remove")
_PLACES = ("detectors", "examples", "golden", "frameworks", "out")
_OPTIONS = {**dict.fromkeys(_FATES, _fate), **dict.fromkeys(_PLACES, _place), "write": _flag}
_VERBS = (
    (diff, ("old", "new"), ()),
    (plan, ("old", "new"), (*_FATES, "out")),
    (apply, ("plan", "old", "new"), (*_PLACES, "write")),
    (invert, ("plan",), ("out",)),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 with one line on stderr when it cannot be done."""
    given = parser().parse_args(argv)

    def work() -> Told:
        try:
            told: Told = given.work(given)
        except LossyPlan as error:
            raise DefinitionInvalid("plan", "invert", str(error)) from None
        return told

    return finish(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
