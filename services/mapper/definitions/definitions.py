"""What one mapper decides by, besides its model: a taxonomy, the detectors checked against it, the controls."""

from dataclasses import dataclass
from pathlib import Path

from services.mapper.definitions.detectors import Detectors, load_detectors
from services.mapper.definitions.frameworks import Frameworks, load_frameworks
from services.mapper.definitions.taxonomy import Taxonomy, load_taxonomy

SHIPPED_FRAMEWORKS = Path(__file__).parents[1] / "frameworks"
"""Controls that come with the code: one file per taxonomy, called as it is."""


@dataclass(frozen=True, slots=True)
class Definitions:
    """Files that belong together."""

    taxonomy: Taxonomy
    """Labels that may come out."""
    detectors: Detectors
    """Declared outputs."""
    frameworks: Frameworks | None
    """Controls that the labels bear on; None: nobody said which."""


def load_definitions(taxonomy: Path, detectors: Path, frameworks: Path | None) -> Definitions:
    """Read and check the files of a mapper.

    Without ``frameworks`` a shipped taxonomy has the shipped ones and any other has none.

    Raises:
        DefinitionInvalid: one of them says something wrong; tells file and key.
    """
    labels = load_taxonomy(taxonomy)
    declared = load_detectors(detectors, labels)
    file = frameworks or _shipped(taxonomy, labels.name)
    return Definitions(labels, declared, load_frameworks(file, labels) if file else None)


def _shipped(taxonomy: Path, name: str) -> Path | None:
    """Return the shipped controls of a shipped taxonomy: another one of the same name has other labels."""
    file = SHIPPED_FRAMEWORKS / f"{name}.yaml"
    shipped = taxonomy.resolve().parent == SHIPPED_FRAMEWORKS.parent / "taxonomies"
    return file if shipped and file.exists() else None
