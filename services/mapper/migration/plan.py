"""A plan: how the labels of one taxonomy version become those of another. Pure.

Every old label has exactly one fate (kept, renamed, merged, split, removed) and every new label exactly one
origin (the same, or added); what is not so is refused with the label's name.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.taxonomy import Taxonomy
from trimtab.contracts.mapping import UNKNOWN


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of the two taxonomies."""

    version: str
    """Its author's."""
    hash: Annotated[str, Meta(pattern=r"^[0-9a-f]{12}\Z")]
    """Of its content."""


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One label becomes several."""

    into: Annotated[list[str], Meta(min_length=2)]
    """New labels."""
    default: str
    """Which of them stands where only the old one is known; each such place is reported."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What becomes of every label; labels not named here keep their names."""

    taxonomy: str
    """Whose labels."""
    before: End
    """The version that is left."""
    after: End
    """The version that is gone to."""
    renames: dict[str, str] = {}
    """Old label -> new one."""
    merges: dict[str, Annotated[list[str], Meta(min_length=2)]] = {}
    """New label -> the old ones that it takes in; it may be one of them."""
    splits: dict[str, Split] = {}
    """Old label -> the new ones."""
    removals: list[str] = []
    """Old labels that nothing replaces; what they were said of is ``OTHER.Unknown`` then."""
    additions: list[str] = []
    """New labels that no old one becomes."""

    def moves(self) -> dict[str, str]:
        """Return old label -> new one, for every label that does not keep its name."""
        merged = {old: new for new, olds in self.merges.items() for old in olds}
        split = {old: split.default for old, split in self.splits.items()}
        removed = dict.fromkeys(self.removals, UNKNOWN)
        moved = {**self.renames, **merged, **split, **removed}
        return {old: new for old, new in moved.items() if old != new}


class LossyPlan(ValueError):
    """A plan that cannot be taken back: what it joined or dropped cannot be told apart again."""

    def __init__(self, losing: Mapping[str, str]) -> None:
        told = ", ".join(f"{label} ({why})" for label, why in sorted(losing.items()))
        super().__init__(
            f"the plan loses {told}; keep the files of before, and go back to these instead"
        )
        self.losing = dict(losing)


def inverted(plan: Plan) -> Plan:
    """Return the plan that takes this one back.

    Raises:
        LossyPlan: labels were merged or removed; names them.
    """
    losing = {old: f"merged into {new}" for new, olds in plan.merges.items() for old in olds}
    losing.update(dict.fromkeys(plan.removals, "removed"))
    if losing:
        raise LossyPlan(losing)
    return Plan(
        taxonomy=plan.taxonomy,
        before=plan.after,
        after=plan.before,
        renames={new: old for old, new in plan.renames.items()},
        merges={old: list(split.into) for old, split in plan.splits.items()},
        removals=list(plan.additions),
    )


def check(plan: Plan, old: Taxonomy, new: Taxonomy) -> None:
    """Check a plan against both taxonomies.

    Raises:
        DefinitionInvalid: it is of other taxonomies or other content, a label has no fate or two, or a
            new label has no origin; names the label.
    """
    for end, taxonomy in ((plan.before, old), (plan.after, new)):
        if plan.taxonomy != taxonomy.name or end.hash != taxonomy.hash:
            problem = f"is not of {taxonomy.reference}; make the plan again"
            raise _wrong(f"{plan.taxonomy}@{end.version}+{end.hash}", problem)
    _check_fates(plan, old, new)
    _check_origins(plan, old, new)


def _check_fates(plan: Plan, old: Taxonomy, new: Taxonomy) -> None:
    named = Counter(
        [
            *plan.renames,
            *plan.splits,
            *plan.removals,
            *(o for olds in plan.merges.values() for o in olds),
        ]
    )
    for label, times in named.items():
        if label not in old.labels:
            raise _wrong(label, f"is no label of {old.reference}")
        if times > 1:
            raise _wrong(label, "has more than one fate; leave it in one place")
        if label == UNKNOWN:
            raise _wrong(label, "is of every taxonomy and cannot be moved")
    for label in old.labels:
        if label not in named and label not in new.labels:
            raise _wrong(label, "is gone; rename, merge, split or remove it")


def _check_origins(plan: Plan, old: Taxonomy, new: Taxonomy) -> None:
    moved = {*plan.renames, *plan.splits, *plan.removals}
    moved |= {label for olds in plan.merges.values() for label in olds}
    kept = [label for label in old.labels if label in new.labels and label not in moved]
    split = [label for each in plan.splits.values() for label in each.into]
    origins = Counter([*kept, *plan.renames.values(), *plan.merges, *split, *plan.additions])
    for label, times in origins.items():
        if label not in new.labels:
            raise _wrong(label, f"is no label of {new.reference}")
        if times > 1:
            raise _wrong(label, "comes from more than one place; merge these instead")
    for label in new.labels:
        if label not in origins:
            raise _wrong(label, "is new; say where it comes from, or add it")
    for label, each in plan.splits.items():
        if each.default not in each.into:
            raise _wrong(label, f"its default {each.default} is none of {', '.join(each.into)}")


def _wrong(label: str, problem: str) -> DefinitionInvalid:
    return DefinitionInvalid("plan", label, problem)


def read_plan(file: Path) -> Plan:
    """Read a plan; raises DefinitionInvalid when the file is none."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Plan)
    except OSError as error:
        raise DefinitionInvalid(file, "file", f"cannot be read ({type(error).__name__})") from None
    except msgspec.DecodeError as error:
        raise DefinitionInvalid(file, "file", f"is no plan: {error}") from None


def written(plan: Plan) -> bytes:
    """Return the plan as its file is written."""
    encoded = msgspec.json.encode(plan, order="deterministic")
    return msgspec.json.format(encoded, indent=2) + b"\n"
