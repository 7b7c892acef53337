"""`trimtab mapper fallbacks`: what nobody could map, most frequent first, as a start for new rules."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from trimtab.cli import options
from trimtab.cli.failure import guarded
from trimtab.cli.mapper.asking import ask
from trimtab.cli.output import print_json, stdout
from trimtab.contracts.mappers import MAX_UNMAPPED, MappersRequest, MapperState, Unmapped


@guarded
def fallbacks(
    top: Annotated[int, typer.Option("--top", min=1, max=MAX_UNMAPPED, help="How many.")] = 20,
    nats: options.Nats = None,
    nkey_seed: options.Seed = None,
    as_json: options.Json = False,
) -> None:
    """Show the outputs that no rule and no model knew, over all running mappers, since they started.

    An output is told as hash and length; a label itself only where its detector's file allows it.
    """
    states = ask(nats, nkey_seed, MappersRequest(unmapped=MAX_UNMAPPED))
    found = merged(states)[:top]
    if as_json:
        print_json({"mappers": [state.instance for state in states], "unmapped": found})
        return
    for each in found:
        told = repr(each.output) if each.output else f"sha256 {each.digest}"
        line = f"{each.count}  {each.detector}  {told}  {each.length} characters  {each.reason}"
        stdout().print(line, markup=False, soft_wrap=True)
    if not found:
        stdout().print("nothing was unmapped")


def merged(states: Sequence[MapperState]) -> list[Unmapped]:
    """Return what all mappers could not map, counts added up, most frequent first. Pure."""
    counts: Counter[Any] = Counter()
    for state in states:
        for each in state.unmapped:
            counts[msgspec.structs.replace(each, count=1)] += each.count
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0].detector, pair[0].digest))
    return [msgspec.structs.replace(each, count=count) for each, count in ordered]
