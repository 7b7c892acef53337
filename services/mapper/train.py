"""Trains a mapper component: ``python -m services.mapper.train``.

Reads the taxonomy and the labelled examples, gets a vector of every text from a running encoder
(``--nats``) or from a file (``--vectors``), fits offline on the CPU in about a minute, and writes the
component folder with its manifest.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from services.mapper.adapter import Array
from services.mapper.component import SHIPPED, AdapterCard, CalibrationCard, save_component
from services.mapper.corpus import Corpus, assemble, wanted_texts
from services.mapper.document import DefinitionInvalid
from services.mapper.examples import Example, content_hash, load_examples, training_set
from services.mapper.fit import Fitted, Recipe, TrainingUnavailable, fit
from services.mapper.settings import MapperSettings
from services.mapper.taxonomy import Taxonomy, load_taxonomy
from trimtab.artifacts.manifest import Manifest
from trimtab.contracts.errors import TrimtabError
from trimtab.corpus.vectors import VectorSource, VectorsUnusable, add_options

EXAMPLES = Path(__file__).parent / "examples"
"""The shipped labelled examples."""

Report = Callable[[str], None]


def train(
    taxonomy: Taxonomy,
    examples: Sequence[Example],
    vectors: Array,
    namespace: str,
    reference: str,
    folder: Path,
    recipe: Recipe,
) -> tuple[Fitted, Manifest]:
    """Fit an adapter to examples that teach and write its component folder."""
    corpus = assemble(taxonomy, examples, vectors)
    fitted = fit(corpus, recipe)
    card = _card(taxonomy, examples, corpus, fitted, namespace, recipe)
    calibration = CalibrationCard(
        kind="isotonic",
        raw=list(fitted.adapter.calibration.raw),
        calibrated=list(fitted.adapter.calibration.calibrated),
        answers=fitted.answers,
        error_before=round(fitted.error_before, 4),
        error_after=round(fitted.error_after, 4),
    )
    return fitted, save_component(folder, reference, fitted.adapter, card, calibration)


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
        buckets=recipe.buckets,
        weights=dict(fitted.adapter.weights),
        training={
            "examples": len(examples),
            "examples_hash": content_hash(tuple(examples)),
            "groups": len(set(corpus.groups.tolist())),
            "held_out_accuracy": round(fitted.accuracy, 4),
            "seed": recipe.seed,
        },
    )


async def run(options: argparse.Namespace, report: Report) -> None:
    """Train as the command line says."""
    taxonomy = load_taxonomy(options.taxonomy)
    examples = training_set(load_examples(options.examples, taxonomy))
    report(f"{taxonomy.reference}: {len(taxonomy.labels)} labels, {len(examples)} examples")
    vectors = await VectorSource.from_options(options).vectors(wanted_texts(taxonomy, examples))
    folder = options.out / options.name
    fitted, manifest = train(
        taxonomy, examples, vectors, options.namespace, options.name, folder, Recipe()
    )
    report(f"held out {fitted.answers} answers: {fitted.accuracy:.1%} right")
    report(f"calibration error {fitted.error_before:.4f} before, {fitted.error_after:.4f} after")
    size = sum(entry.size for entry in manifest.files.values())
    report(f"{manifest.reference} {manifest.hash[:12]}, {size / 1e6:.2f} MB")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    shipped = MapperSettings()
    made = argparse.ArgumentParser(prog="python -m services.mapper.train", description=__doc__)
    made.add_argument("--taxonomy", type=Path, default=shipped.taxonomy, help="YAML file")
    made.add_argument("--examples", type=Path, default=EXAMPLES, help="folder of JSONL files")
    made.add_argument("--name", default=shipped.components[0], help="name@version of the result")
    made.add_argument("--out", type=Path, default=SHIPPED, help="folder to put it in")
    add_options(made)
    return made


def main() -> int:
    """Run the command; 1 with one line on stderr when it cannot be done."""

    def report(line: str) -> None:
        print(line, file=sys.stderr)  # noqa: T201 - a command

    try:
        asyncio.run(run(parser().parse_args(), report))
    except (DefinitionInvalid, TrainingUnavailable, VectorsUnusable, TrimtabError) as error:
        report(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
