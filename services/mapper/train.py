"""Trains a mapper component: ``python -m services.mapper.train``; `trimtab mapper train` asks for it.

Reads a taxonomy and labelled examples, gets a vector of every text from a running encoder (``--nats``)
or from a file (``--vectors``), fits offline on the CPU in minutes, and writes the component folder with
its manifest.
"""

import argparse
import asyncio
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from services.mapper.alone import add_alone
from services.mapper.alone import vectors as vectors_of
from services.mapper.command import add_json, finish, report
from services.mapper.definitions.taxonomy import Taxonomy, load_taxonomy
from services.mapper.model.component import AdapterCard, CalibrationCard, save_component
from services.mapper.model.network import Array
from services.mapper.settings import MapperSettings
from services.mapper.training.corpus import Corpus, assemble, wanted_texts
from services.mapper.training.examples import Example, content_hash, load_examples, training_set
from services.mapper.training.fit import Fitted, Recipe, fit
from trimtab.artifacts.manifest import Manifest
from trimtab.artifacts.store import ArtifactStore
from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.corpus.vectors import add_options
from trimtab.supervisor.home import Home

EXAMPLES = Path(__file__).parent / "examples"
"""The shipped labelled examples."""

_REFERENCE = re.compile(r"[a-z0-9][a-z0-9_.-]*@[A-Za-z0-9.]+")

Report = Callable[[str], None]


def train(
    taxonomy: Taxonomy,
    examples: Sequence[Example],
    vectors: Array,
    namespace: str,
    reference: str,
    folder: Path,
    recipe: Recipe,
    report: Report = lambda line: None,
) -> tuple[Fitted, Manifest]:
    """Fit an adapter to examples that teach and write its component folder."""
    corpus = assemble(taxonomy, examples, vectors)
    fitted = fit(corpus, recipe, report)
    card = _card(taxonomy, examples, corpus, fitted, namespace, recipe)
    before, after = fitted.errors
    calibration = CalibrationCard.of(
        fitted.adapter.calibration, answers=fitted.held.answers, before=before, after=after
    )
    manifest = save_component(folder, reference, fitted.adapter, card, calibration, fitted.held)
    return fitted, manifest


def _card(
    taxonomy: Taxonomy,
    examples: Sequence[Example],
    corpus: Corpus,
    fitted: Fitted,
    namespace: str,
    recipe: Recipe,
) -> AdapterCard:
    return AdapterCard(
        taxonomy=taxonomy.name,
        taxonomy_hash=taxonomy.hash,
        namespace=namespace,
        dimension=fitted.adapter.dimension,
        labels=list(fitted.adapter.labels),
        buckets=len(fitted.adapter.lexicon.idf),
        weights=dict(fitted.adapter.weights),
        training={
            "examples": len(examples),
            "examples_hash": content_hash(tuple(examples)),
            "groups": len(set(corpus.groups.tolist())),
            "held_out_accuracy": fitted.held.top1,
            "seed": recipe.seed,
        },
    )


async def run(options: argparse.Namespace, report: Report) -> tuple[Fitted, Manifest, Path]:
    """Train as the command line says."""
    taxonomy = load_taxonomy(taxonomy_file(options.taxonomy))
    examples = training_set(load_examples(options.examples, taxonomy))
    report(f"{taxonomy.reference}: {len(taxonomy.labels)} labels, {len(examples)} examples")
    texts = wanted_texts(taxonomy, examples)

    def advance(done: int, of: int) -> None:
        if 10 * done // of > 10 * (done - 64) // of:
            report(f"{done} of {of} vectors")

    vectors = await vectors_of(options, texts, report, advance)
    out = options.out or Home.find().root / "adapters"
    folder = out / options.name
    fitted, manifest = train(
        *(taxonomy, examples, vectors, options.namespace, options.name, folder, Recipe()), report
    )
    if options.push:
        await push(options.nats, folder)
        report(f"{manifest.reference} is in the deployment's store")
    return fitted, manifest, folder


def taxonomy_file(asked: str) -> Path:
    """Return the file of a taxonomy: a path, or the name of one that was imported into the home."""
    imported = Home.find().root / "taxonomies" / f"{asked}.yaml"
    return imported if not Path(asked).exists() and imported.exists() else Path(asked)


async def push(nats_url: str, folder: Path) -> None:
    """Store a component in a deployment, so that its mappers can load it.

    Raises:
        ArtifactCorrupt: the same reference is stored with other content.
        BusUnavailable: no NATS answers.
    """
    connection = await connect(nats_url, "training")
    try:
        await (await ArtifactStore.open(connection)).push(folder)
    finally:
        await close(connection)


def shape(fitted: Fitted, manifest: Manifest, folder: Path) -> dict[str, Any]:
    """Return what came out, for scripts."""
    before, after = fitted.errors
    return {
        "component": manifest.reference,
        "hash": manifest.hash,
        "folder": str(folder),
        "bytes": sum(entry.size for entry in manifest.files.values()),
        "held_out": fitted.held.answers,
        "top1": fitted.held.top1,
        "top3": fitted.held.top3,
        "calibration": fitted.kind,
        "error_before": before,
        "error_after": after,
    }


def lines(told: dict[str, Any]) -> list[str]:
    """Return the same for people."""
    return [
        f"held out {told['held_out']} answers: {told['top1']:.1%} right, "
        f"{told['top3']:.1%} among the three best",
        f"{told['calibration']} calibration: error {told['error_before']:.4f} before, "
        f"{told['error_after']:.4f} after",
        f"{told['component']} {told['hash'][:12]}, {told['bytes'] / 1e6:.2f} MB, in {told['folder']}",
    ]


def reference(given: str) -> str:
    """Return ``name@version``, of a name alone its first version; raises ValueError for anything else."""
    made = given if "@" in given else f"{given}@1"
    if not _REFERENCE.fullmatch(made):
        raise ValueError(given)
    return made


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    shipped = MapperSettings()
    made = argparse.ArgumentParser(prog="python -m services.mapper.train", description=__doc__)
    made.add_argument("--taxonomy", default=str(shipped.taxonomy), help="YAML file, or a name")
    made.add_argument(
        "--examples", type=Path, default=EXAMPLES, help="JSONL file, or a folder of them"
    )
    made.add_argument(
        "--name", required=True, type=reference, help="name@version; a name alone is @1"
    )
    made.add_argument(
        "--out", type=Path, help="folder to put it in; default: adapters/ in the home"
    )
    made.add_argument("--push", action="store_true", help="store it in the deployment at --nats")
    add_json(made)
    add_options(made)
    add_alone(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 with one line on stderr when it cannot be done."""
    given = parser().parse_args(argv)

    def work() -> tuple[Any, list[str]]:
        told = shape(*asyncio.run(run(given, report)))
        return told, lines(told)

    return finish(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
