"""What differs between two versions of a taxonomy, and a first plan from one to the other. Pure.

A label that is gone is taken for a renamed one only when exactly one new label answers to its name, to all of
its aliases' majority or has its very description; everything else somebody must say.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from services.mapper.definitions.names import normalise
from services.mapper.definitions.taxonomy import Label, Taxonomy
from services.mapper.migration.plan import End, Plan, Split


def difference(old: Taxonomy, new: Taxonomy) -> dict[str, Any]:
    """Return what differs, for scripts: labels gone and new, likely renames, changed contents."""
    gone = [label for label in old.labels if label not in new.labels]
    fresh = [label for label in new.labels if label not in old.labels]
    changed = {
        name: _changes(label, new.labels[name])
        for name, label in old.labels.items()
        if name in new.labels and _changes(label, new.labels[name])
    }
    return {
        "before": old.reference,
        "after": new.reference,
        "gone": gone,
        "new": fresh,
        "likely_renames": likely_renames(old, new),
        "changed": changed,
    }


def _changes(before: Label, after: Label) -> list[str]:
    fields = ("description", "aliases", "vague", "title", "parent", "tactics")
    return [name for name in fields if getattr(before, name) != getattr(after, name)]


def likely_renames(old: Taxonomy, new: Taxonomy) -> dict[str, str]:
    """Return gone labels -> the one new label that each must be; nothing where two could be it."""
    gone = [old.labels[name] for name in old.labels if name not in new.labels]
    fresh = {name: label for name, label in new.labels.items() if name not in old.labels}
    found = {label.name: likely for label in gone if (likely := _likely(label, fresh, new))}
    taken = Counter(found.values())
    return {before: after for before, after in found.items() if taken[after] == 1}


def _likely(label: Label, fresh: Mapping[str, Label], new: Taxonomy) -> str:
    same = [name for name, other in fresh.items() if other.description == label.description]
    if len(same) == 1:
        return same[0]
    votes = Counter(
        owner
        for alias in (label.name, *label.aliases)
        if (owner := new.by_name.get(normalise(alias), "")) in fresh
    )
    best = votes.most_common(2)
    alone = len(best) == 1 or (len(best) == 2 and best[0][1] > best[1][1])
    return best[0][0] if best and alone else ""


def draft(
    old: Taxonomy,
    new: Taxonomy,
    *,
    renames: Mapping[str, str] | None = None,
    merges: Mapping[str, Sequence[str]] | None = None,
    splits: Mapping[str, Sequence[str]] | None = None,
    removals: Sequence[str] = (),
) -> Plan:
    """Return a plan of what was said, likely renames for the rest, and additions for what is new then.

    The first label of a split is its default. Not checked yet: a label may still lack a fate.
    """
    said = dict(renames or {})
    joined = {new_label: list(olds) for new_label, olds in (merges or {}).items()}
    parted = {
        label: Split(into=list(into), default=into[0]) for label, into in (splits or {}).items()
    }
    named = {*said, *parted, *removals, *(label for olds in joined.values() for label in olds)}
    used = {*said.values(), *joined, *(label for each in parted.values() for label in each.into)}
    likely = {
        before: after
        for before, after in likely_renames(old, new).items()
        if before not in named and after not in used
    }
    known = {*used, *likely.values(), *old.labels}
    return Plan(
        taxonomy=old.name,
        before=End(version=old.version, hash=old.hash),
        after=End(version=new.version, hash=new.hash),
        renames=said | likely,
        merges=joined,
        splits=parted,
        removals=list(removals),
        additions=[label for label in new.labels if label not in known],
    )
