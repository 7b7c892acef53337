"""Which indexes retrievers advise to build anew: of what serves alone, for what is only kept warm needs none. Pure."""

from collections.abc import Iterable, Mapping

from trimtab.contracts.samples import ADVICE

Facts = Mapping[str, float | int | str]


def advised(retrievers: Iterable[Facts], serving: str) -> list[str]:
    """Return each line of advice once; ``serving`` is the component of the stable release, empty when unknown."""
    found = [
        str(text)
        for facts in retrievers
        for key, text in facts.items()
        if key.startswith(ADVICE) and text and _serves(key, facts, serving)
    ]
    return list(dict.fromkeys(found))


def _serves(key: str, facts: Facts, serving: str) -> bool:
    """Whether a fact is of what serves: the component of the worker's settings is not named in its key."""
    if "@" in key:
        return not serving or key.endswith(f".{serving}")
    return f"{key}.{serving}" not in facts
