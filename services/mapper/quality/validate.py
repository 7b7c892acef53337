"""``python -m services.mapper.quality.validate``: golden cases against a release of a deployment, or in this process.

Asked for by `trimtab mapper quality validate|check-coverage|smoke`. What it measures of a release is kept beside the
release, and the controller lets no changed mapper take requests without it.
"""

import argparse
import asyncio
import getpass
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from services.mapper.alone import add_alone
from services.mapper.command import add_json, finish, report
from services.mapper.definitions.detectors import Detectors, load_detectors
from services.mapper.definitions.document import DefinitionInvalid
from services.mapper.definitions.taxonomy import Taxonomy, load_taxonomy
from services.mapper.model.component import load_component
from services.mapper.quality import live, local
from services.mapper.quality.cases import GOLDEN, Golden, read_golden
from services.mapper.quality.coverage import coverage
from services.mapper.quality.report import Measured, checks, lines, shape, worst
from services.mapper.quality.scoring import Answer, score
from services.mapper.reporting import find
from services.mapper.settings import MapperSettings
from trimtab.client import Client
from trimtab.contracts.component import Release
from trimtab.contracts.gates import Gate, GateReport
from trimtab.control.quality import QUALITY_FILE, Environment, Thresholds, parse_thresholds
from trimtab.corpus.vectors import add_options
from trimtab.supervisor.home import Home

POLICIES = Path(__file__).parents[3] / "deploy" / "policies"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the cases are asked of and judged by."""

    taxonomy: Taxonomy
    detectors: Detectors
    golden: Golden
    thresholds: Thresholds
    settings: MapperSettings


def prepared(given: argparse.Namespace) -> Asked:
    """Read definitions, cases and thresholds.

    Raises:
        DefinitionInvalid: one of the files says something wrong.
        InvalidCommand: the file of thresholds does.
    """
    settings = MapperSettings.load()
    taxonomy = load_taxonomy(settings.taxonomy)
    detectors = load_detectors(settings.detectors, taxonomy)
    golden = read_golden(given.cases, taxonomy, given.detector or ())
    return Asked(taxonomy, detectors, golden, thresholds(given), settings)


def thresholds(given: argparse.Namespace) -> Thresholds:
    """Return the row of the environment that was asked for.

    Raises:
        DefinitionInvalid: the file cannot be read.
        InvalidCommand: it says something wrong.
    """
    try:
        document = given.thresholds.read_bytes()
    except OSError as error:
        problem = f"cannot be read ({type(error).__name__}); name it with --thresholds"
        raise DefinitionInvalid(given.thresholds, "file", problem) from None
    return parse_thresholds(document, given.thresholds.name)[Environment(given.environment)]


async def run(given: argparse.Namespace, asked: Asked) -> tuple[dict[str, Any], list[str]]:
    """Measure as the command line says; returns the report for scripts and for people."""
    if given.in_process:
        measured = await _in_process(given, asked)
        return _judged(given, asked, measured, {"release": None, "recorded": False})
    async with Client.connect(given.nats, name="quality", nkey_seed=given.nkey_seed) as client:
        release = await live.chosen(client, given.release)
        report(f"{release.name} ({release.hash}): {len(asked.golden.cases)} cases")
        heard = await live.answers(
            client, release, asked.golden.cases, asked.taxonomy.name, given.at_once, report
        )
        measured = _measured(asked, heard.answers, heard.versions, by_order=False)
        recorded = not (given.no_record or given.detector)
        about = {"release": release.name, "release_hash": release.hash, "recorded": recorded}
        told, said = _judged(given, asked, measured, about)
        if recorded:
            made = gate_report(release, asked.golden, told, worst(measured))
            await live.record(client, made, given.actor or getpass.getuser(), given.reason)
    return told, said


def gate_report(
    release: Release, golden: Golden, told: dict[str, Any], figures: dict[str, float]
) -> GateReport:
    """Return what the controller keeps of a report: of exactly this content and these cases."""
    failed = sum(not check["ok"] for check in told["checks"])
    return GateReport(
        gate=Gate.QUALITY,
        release=release.name,
        release_hash=release.hash,
        cases=len(golden.cases),
        cases_hash=golden.hash,
        figures={"failed_checks": float(failed), **figures},
        at=told["at"],
    )


async def _in_process(given: argparse.Namespace, asked: Asked) -> Measured:
    component = None
    if not given.rules_only:
        component = load_component(find(given.component, Home.find().root / "adapters"))
        given.namespace = component.card.namespace
        report(f"{component.reference} in this process: {len(asked.golden.cases)} cases")
    mapper = local.mapper_of(
        asked.taxonomy, asked.detectors, component, asked.settings.confidence_threshold
    )
    options = None if given.rules_only else given
    questions = await local.requests(asked.golden.cases, asked.taxonomy.name, options, report)
    versions = {part: [version] for part, version in mapper.versions().items()}
    found = local.answers(mapper, questions)
    return _measured(asked, found, versions, by_order=given.rules_only)


def _measured(
    asked: Asked, answers: Sequence[Answer], versions: dict[str, list[str]], *, by_order: bool
) -> Measured:
    scored = tuple(
        score(case, answer, asked.taxonomy.labels)
        for case, answer in zip(asked.golden.cases, answers, strict=True)
    )
    wanted = asked.golden.detectors
    declared = [name for name in asked.detectors.by_name if name not in wanted]
    return Measured(
        scored=scored,
        coverage=coverage(asked.golden, [*wanted, *declared], asked.taxonomy),
        versions=versions,
        by_order=by_order,
    )


def _judged(
    given: argparse.Namespace, asked: Asked, measured: Measured, about: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    limits = asked.thresholds.limits(given.profile)
    if given.detector:  # of a few detectors, what all of them cover says nothing
        limits = tuple(limit for limit in limits if limit.figure not in _OF_ALL)
    judged = checks(measured, limits)
    told = {
        **shape(measured, judged),
        **about,
        "environment": given.environment,
        "profile": given.profile,
        "cases_hash": asked.golden.hash,
        "at": time.time(),
    }
    return told, lines(measured, judged)


_OF_ALL = frozenset({"golden_cases", "taxonomy_coverage"})


def add_thresholds(made: argparse.ArgumentParser) -> None:
    """Let a command be told by what it judges."""
    made.add_argument("--environment", choices=list(Environment), default=Environment.PROD)
    made.add_argument("--profile", choices=("cpu", "gpu"), default="cpu")
    made.add_argument("--thresholds", type=Path, default=POLICIES / QUALITY_FILE)
    made.add_argument("--cases", type=Path, default=GOLDEN, help="folder of golden cases")
    made.add_argument("--detector", action="append", help="only this one; repeatable")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m services.mapper.quality.validate")
    made.add_argument("release", nargs="?", default="", help="default: the stable one")
    made.add_argument("--in-process", action="store_true", help="no deployment")
    made.add_argument("--component", default="safety-head@1", help="in process: what to load")
    made.add_argument("--rules-only", action="store_true", help="in process: no model")
    made.add_argument("--at-once", type=int, default=1, help="questions in flight")
    made.add_argument("--no-record", action="store_true", help="do not keep it with the release")
    made.add_argument("--output", type=Path, help="JSON file to write")
    made.add_argument("--actor", default="")
    made.add_argument("--reason", default="")
    made.add_argument("--nkey-seed", type=Path)
    add_thresholds(made)
    add_json(made)
    add_options(made)
    add_alone(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 passed, 1 failed or not to be done, 3 nobody answered."""
    given = parser().parse_args(argv)
    verdict: list[bool] = []

    def work() -> tuple[Any, list[str]]:
        told, said = asyncio.run(run(given, prepared(given)))
        verdict.append(told["ok"])
        if given.output is not None:
            given.output.parent.mkdir(parents=True, exist_ok=True)
            given.output.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2))
            said = [*said, f"wrote {given.output}"]
        return told, said

    code = finish(work, as_json=given.json)
    return code or int(not all(verdict))


if __name__ == "__main__":
    sys.exit(main())
