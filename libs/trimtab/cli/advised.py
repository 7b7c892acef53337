"""What retrievers advise: which of the indexes that serve should be built anew. Pure."""

from collections.abc import Iterable, Mapping

from trimtab.contracts.samples import ADVICE

Facts = Mapping[str, float | int | str]


def advised(retrievers: Iterable[Facts]) -> list[str]:
    """Return each line of advice once."""
    found = (
        str(text)
        for facts in retrievers
        for key, text in facts.items()
        if key.startswith(ADVICE) and text
    )
    return list(dict.fromkeys(found))
