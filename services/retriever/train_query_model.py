"""Trains a query model: ``python -m services.retriever.train_query_model --kind amn_v0 --passages FILE``.

Reads passages in their articles' order (JSONL of ``id, article, seq, text``, and ``title``, ``source`` where
there are any), gets their vectors from a running encoder (``--nats``) or from a file made earlier
(``--vectors``), fits on the CPU, and writes the component folder; ``--push`` stores it for the workers.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from services.retriever.querymodel.amn import AmnSize
from services.retriever.querymodel.component import ModelCard, Size, save_model
from services.retriever.querymodel.descent import (
    Epoch,
    Fitted,
    Schedule,
    Untrainable,
    fit,
    validate,
)
from services.retriever.querymodel.gru import GruSize
from services.retriever.querymodel.model import WINDOW, Vectors
from services.retriever.querymodel.source import SourceUnusable, read_passages
from services.retriever.querymodel.windows import Place, windows_of
from trimtab.artifacts.manifest import Manifest
from trimtab.artifacts.store import ArtifactStore
from trimtab.bus.connection import connect
from trimtab.bus.ending import close
from trimtab.contracts.errors import TrimtabError
from trimtab.corpus.vectors import VectorSource, VectorsUnusable, add_options

_SIZES: dict[str, type[AmnSize] | type[GruSize]] = {"amn_v0": AmnSize, "gru_v0": GruSize}

Report = Callable[[str], None]


def train(
    places: Sequence[Place],
    vectors: Vectors,
    size: Size,
    schedule: Schedule,
    *,
    folder: Path,
    reference: str,
    namespace: str,
    encoder: str,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> tuple[Fitted, ModelCard, Manifest]:
    """Fit a model to the training articles and write its component folder.

    Raises:
        Untrainable: there is nothing to learn from.
    """
    windows = windows_of(places)
    fitted = fit(size, vectors, windows, schedule, report)
    test = windows.part("test")
    training: dict[str, float | int | str] = {
        "articles": len(set(windows.articles)),
        "train_windows": len(windows.part("train").rows),
        "validation_windows": len(windows.part("validation").rows),
        "test_windows": len(test.rows),
        "epochs": len(fitted.epochs),
        "seed": schedule.seed,
        "best_epoch": fitted.best.number,
        "validation_loss": round(fitted.best.validation_loss, 7),
        "validation_cosine": round(fitted.best.validation_cosine, 4),
    }
    if len(test.rows):
        training["test_cosine"] = round(validate(fitted.network, vectors, test)[1], 4)
    card = ModelCard(
        namespace=namespace, encoder=encoder, window=WINDOW, size=size, training=training
    )
    return fitted, card, save_model(folder, reference, card, fitted.network)


async def run(options: argparse.Namespace, report: Report) -> None:
    """Train as the command line says."""
    rows = read_passages(options.passages)
    vectors = await VectorSource.from_options(options).vectors(
        [row.searchable for row in rows], lambda done, of: report(f"encoded {done} of {of}")
    )
    schedule = Schedule(epochs=options.epochs, seed=options.seed)
    reference = options.name or f"{options.kind}@1"
    _, card, manifest = await asyncio.to_thread(
        train,
        [row.place for row in rows],
        vectors,
        _SIZES[options.kind](dimension=vectors.shape[1]),
        schedule,
        folder=options.out / reference,
        reference=reference,
        namespace=options.namespace,
        encoder=options.encoder,
        report=lambda epoch: report(_line(epoch, schedule.epochs)),
    )
    if options.push:
        await _push(options.nats, options.out / reference)
    size = sum(entry.size for entry in manifest.files.values())
    report(f"{manifest.reference} {manifest.hash[:12]}, {size / 1e6:.1f} MB")
    if options.json:
        made = {"reference": reference, "hash": manifest.hash, "pushed": options.push}
        print(json.dumps({**made, "training": card.training}))  # noqa: T201 - a command
    else:
        report(", ".join(f"{name} {value}" for name, value in card.training.items()))


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="python -m services.retriever.train_query_model", description=__doc__
    )
    made.add_argument("--kind", choices=sorted(_SIZES), required=True, help="architecture")
    made.add_argument("--passages", type=Path, required=True, help="JSONL file")
    made.add_argument("--out", type=Path, required=True, help="folder to put the component in")
    made.add_argument("--name", default="", help="name@version of the result; default KIND@1")
    made.add_argument("--epochs", type=_positive, default=Schedule().epochs, help="%(default)s")
    made.add_argument("--seed", type=int, default=Schedule().seed, help="default %(default)s")
    add_options(made)
    made.add_argument("--push", action="store_true", help="store it where workers find it")
    made.add_argument("--json", action="store_true", help="print the figures as JSON on stdout")
    return made


def main() -> int:
    """Run the command; 1 with one line on stderr when it cannot be done."""

    def report(line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - a command

    try:
        asyncio.run(run(parser().parse_args(), report))
    except (SourceUnusable, VectorsUnusable, Untrainable, TrimtabError) as error:
        report(f"error: {error}")
        return 1
    return 0


async def _push(nats_url: str, folder: Path) -> None:
    connection = await connect(nats_url, "train-query-model")
    try:
        await (await ArtifactStore.open(connection)).push(folder)
    finally:
        await close(connection)


def _line(epoch: Epoch, of: int) -> str:
    return (
        f"epoch {epoch.number} of {of}: loss {epoch.loss:.6f}, validation {epoch.validation_loss:.6f},"
        f" cosine {epoch.validation_cosine:.4f}, rate {epoch.learning_rate:g}"
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
