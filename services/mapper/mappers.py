"""The mappers of one component: one per taxonomy, side by side; a request is answered by its own."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.mapper.mapper import Mapper
from trimtab.contracts.errors import UnknownTaxonomy


@dataclass(frozen=True, slots=True)
class Mappers:
    """What answers under one component reference."""

    content_hash: str
    """sha256 of the component's manifest; empty when it could not be had and the rules serve alone."""
    by_taxonomy: Mapping[str, Mapper]
    """Taxonomy -> its mapper."""

    @classmethod
    def one(cls, mapper: Mapper) -> "Mappers":
        """Return an adapter's: one taxonomy, the worker's own."""
        digest = "" if mapper.served is None else mapper.served.content_hash
        return cls(digest, {mapper.taxonomy.name: mapper})

    def of(self, taxonomy: str) -> Mapper:
        """Return the mapper of a taxonomy; raises UnknownTaxonomy with those that are here."""
        found = self.by_taxonomy.get(taxonomy)
        if found is None:
            raise UnknownTaxonomy(taxonomy, tuple(sorted(self.by_taxonomy)))
        return found
