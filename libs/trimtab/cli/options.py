"""Options that several commands share, so that they are spelled and explained alike."""

import re
from pathlib import Path
from typing import Annotated

import typer

from trimtab.contracts.retrieve import COLLECTION_PATTERN

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout, nothing else.")]

Nats = Annotated[
    str | None,
    typer.Option(
        "--nats",
        metavar="URL",
        help="Address of NATS. Default: $TRIMTAB_NATS_URL, else what `trimtab up` started here.",
    ),
]

Seed = Annotated[
    Path | None,
    typer.Option(
        "--nkey-seed",
        envvar="TRIMTAB_NATS_NKEY_SEED",
        help="File with the nkey seed, when the server asks for one.",
        exists=True,
        dir_okay=False,
    ),
]

Tenant = Annotated[
    str, typer.Option("--tenant", help="Whose passages count beside everybody's.", metavar="NAME")
]

Timeout = Annotated[
    float, typer.Option("--timeout", help="Seconds to wait for the answer.", min=0.01, max=600.0)
]


def collection_name(value: str) -> str:
    """Refuse what is no name of a collection; a typer callback."""
    if re.fullmatch(COLLECTION_PATTERN, value) is None:
        raise typer.BadParameter("lower-case letters, digits, _ and -, at most 64 characters")
    return value


Collection = Annotated[
    str,
    typer.Option("--collection", callback=collection_name, metavar="NAME", help="Which passages."),
]
