"""Queries encoded by the live encoder, with a bar."""

from collections.abc import Sequence

from rich.progress import Progress

from trimtab.evaluation.live import Encoded, Live
from trimtab.evaluation.queries import Query


async def asked(live: Live, queries: Sequence[Query], bar: Progress) -> list[Encoded]:
    """Encode the queries by the live encoder."""
    task = bar.add_task("encoding", total=len(queries))
    return await live.encode(
        [query.text for query in queries], lambda done: bar.advance(task, done)
    )
