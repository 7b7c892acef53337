"""Where versions differ: between running mappers, and between two sets of them. Pure."""

from collections.abc import Mapping, Sequence

from trimtab.contracts.mappers import MapperState

Versions = Mapping[str, str]
"""``<taxonomy>.<kind>`` -> ``name@version+hash``."""


def versions_of(state: MapperState, component: str) -> dict[str, str]:
    """Return what one mapper answers with under a component, by taxonomy and kind."""
    return {
        f"{each.taxonomy}.{kind}": version
        for each in state.served
        if each.component == component
        for kind, version in each.versions.items()
    }


def difference(before: Versions, after: Versions) -> list[str]:
    """Return one line per version that differs, ``what: before -> after``."""
    return [
        f"{what}: {before.get(what, 'absent')} -> {after.get(what, 'absent')}"
        for what in sorted({*before, *after})
        if before.get(what) != after.get(what)
    ]


def disagreements(states: Sequence[MapperState], component: str) -> list[str]:
    """Return one line per mapper and version that is not what most of the mappers have."""
    told = {state.instance: versions_of(state, component) for state in states}
    found = []
    for what in sorted({what for versions in told.values() for what in versions}):
        values = [versions.get(what, "absent") for versions in told.values()]
        # The first of equally frequent ones: who is right, no count can say.
        usual = max(values, key=values.count)
        found += [
            f"{instance}: {what} is {versions.get(what, 'absent')}, others have {usual}"
            for instance, versions in told.items()
            if versions.get(what, "absent") != usual
        ]
    return found
