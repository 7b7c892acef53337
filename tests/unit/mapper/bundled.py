"""Bundles made for tests: the shipped rules beside a small taxonomy of other labels."""

from pathlib import Path

from services.mapper.bundles.bundle import AdapterChoice, Bundle, Sources, write_bundle
from services.mapper.definitions.definitions import SHIPPED_FRAMEWORKS
from services.mapper.settings import MapperSettings
from tests.unit.mapper.shipped import component
from trimtab.artifacts.manifest import Manifest

PETS = """\
name: pets
version: "1"
families:
  PET:
    description: Pets.
    labels:
      PET.Cat: {description: A cat that purrs., aliases: [kitten]}
      PET.Dog: {description: A dog that barks., aliases: [puppy]}
  OTHER:
    description: The rest.
    labels:
      OTHER.Unknown: {description: Neither of them., vague: true}
"""

KENNEL = """\
name: kennel
version: "1"
source: https://example.org/kennel
labels:
  woof: PET.Dog
"""


def sources(adapter: bool = True) -> Sources:
    """The shipped AI-safety rules with the shipped adapter."""
    choice = AdapterChoice(
        adapter=component().reference, hash=component().content_hash
    ) if adapter else AdapterChoice()  # fmt: skip
    settings = MapperSettings()
    return Sources(
        settings.taxonomy, settings.detectors, SHIPPED_FRAMEWORKS / "ai-safety.yaml", choice
    )


def pets(folder: Path) -> Sources:
    """A taxonomy of two labels and one detector, which the rules answer alone."""
    (folder / "kennel").mkdir(parents=True)
    (folder / "pets.yaml").write_text(PETS)
    (folder / "kennel" / "kennel.yaml").write_text(KENNEL)
    return Sources(folder / "pets.yaml", folder / "kennel", None, AdapterChoice())


def written(folder: Path, reference: str, *made: Sources) -> tuple[Bundle, Manifest]:
    """Write a bundle to ``folder/reference``."""
    return write_bundle(folder / reference, reference, list(made))
