"""Makes a component of a SPLADE checkpoint on disk: ``python -m services.encoder.sparse.bring FOLDER --name NAME@1``.

Nothing is downloaded and no code of the checkpoint runs; the same files give the same component.
"""

import argparse
import asyncio
import re
import sys
from pathlib import Path

from services.encoder.sparse.checkpoint import TOKENIZER, WEIGHTS, read_checkpoint
from services.encoder.sparse.spec import KIND, SparseSpec, write_spec
from services.encoder.sparse.splade import write
from trimtab.artifacts.manifest import ArtifactCorrupt, Manifest, sha256_of, write_manifest
from trimtab.artifacts.store import ArtifactStore
from trimtab.bus.connection import DEFAULT_URL, connect
from trimtab.bus.ending import close
from trimtab.contracts.errors import TrimtabError
from trimtab.contracts.sparse import SparseSpace

_MODEL = "model.onnx"
_MAX_TOKENS = 256
_REFERENCE = re.compile(r"[a-z0-9][a-z0-9_-]*@[0-9]+")


def make(checkpoint: Path, reference: str, out: Path, max_tokens: int = _MAX_TOKENS) -> Path:
    """Write the component ``reference`` below ``out`` and return its folder.

    Its space is ``learned_sparse.<name>.v<version>``.

    Raises:
        ArtifactError: the checkpoint is not one that is computed here.
        FileExistsError: the folder is there.
    """
    read = read_checkpoint(checkpoint)
    name, _, version = reference.partition("@")
    folder = out / reference
    folder.mkdir(parents=True)
    try:
        write(read, folder / _MODEL)
    except KeyError as error:
        folder.rmdir()
        problem = f"has no tensor {error.args[0]}; is it a masked-language model?"
        raise ArtifactCorrupt(checkpoint.name, WEIGHTS, problem) from None
    (folder / TOKENIZER).write_bytes(read.tokenizer)
    namespace = f"learned_sparse.{name}.v{version}"
    spec = SparseSpec(
        space=SparseSpace(namespace=namespace, vocabulary=read.vocabulary, size=read.terms),
        max_tokens=min(max_tokens, read.sizes.positions),
        model=_MODEL,
        tokenizer=TOKENIZER,
    )
    write_spec(spec, folder)
    facts: dict[str, str | int | float | bool] = {
        "namespace": namespace,
        "weights_sha256": sha256_of(checkpoint / WEIGHTS),
    }
    write_manifest(folder, name=name, version=version, kind=KIND, metadata=facts)
    return folder


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="python -m services.encoder.sparse.bring", description=__doc__
    )
    made.add_argument(
        "checkpoint",
        type=Path,
        metavar="FOLDER",
        help="with config.json, model.safetensors, tokenizer.json",
    )
    made.add_argument("--name", type=_reference, required=True, help="name@version of the result")
    made.add_argument("--out", type=Path, default=Path(), help="folder to put the component in")
    made.add_argument("--max-tokens", type=int, default=_MAX_TOKENS, help="default %(default)s")
    made.add_argument("--push", action="store_true", help="store it where workers find it")
    made.add_argument("--nats", default=DEFAULT_URL, help="default %(default)s")
    made.add_argument("--seed", type=Path, help="file with the operator's nkey seed")
    return made


def main() -> int:
    """Run the command; 1 with one line on stderr when it cannot be done."""
    options = parser().parse_args()
    try:
        folder = make(options.checkpoint, options.name, options.out, options.max_tokens)
        stored = asyncio.run(_push(options, folder)) if options.push else None
    except (TrimtabError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    print(f"{folder}{f', stored as {stored.reference}' if stored else ''}")  # noqa: T201 - a command
    return 0


async def _push(options: argparse.Namespace, folder: Path) -> Manifest:
    connection = await connect(options.nats, "bring-sparse", nkey_seed=options.seed)
    try:
        return await (await ArtifactStore.open(connection)).push(folder)
    finally:
        await close(connection)


def _reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        raise argparse.ArgumentTypeError("write NAME@NUMBER, in lower case")
    return text


if __name__ == "__main__":
    sys.exit(main())
