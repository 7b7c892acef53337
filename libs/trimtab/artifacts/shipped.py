"""Components that come with the code: what a worker takes when the object store has none of that name."""

from collections.abc import Callable
from pathlib import Path

from trimtab.artifacts.manifest import ArtifactMissing


def shipped(components: Path) -> Callable[[str, Path], Path]:
    """Return what finds ``name@version`` among the folders directly below ``components``.

    What it returns raises ArtifactMissing for every other reference, ``..`` among them.
    """

    def find(reference: str, _into: Path) -> Path:
        for folder in components.iterdir():
            if folder.name == reference and folder.is_dir():
                return folder
        raise ArtifactMissing(f"component {reference}, neither stored nor shipped")

    return find
