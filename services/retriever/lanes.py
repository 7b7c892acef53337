"""The threads beside the event loop: one searches, one writes the store, one builds, one merges, one runs models.

Whatever touches a collection in memory runs in the search thread and nowhere else; that is why
nothing there is locked.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from services.retriever.dense.flat import use_one_thread

P = ParamSpec("P")
R = TypeVar("R")

_FAR = 8
"""Calls of a vector database that are under way at once."""


class Lanes:
    """One thread per kind of work; each keeps its native code to itself."""

    def __init__(self) -> None:
        self._search = _thread("search")
        self._store = _thread("store")
        self._build = _thread("build")
        self._words = _thread("words")
        self._model = _thread("model")
        self._far = ThreadPoolExecutor(_FAR, thread_name_prefix="far")

    async def search(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run what reads or changes a collection."""
        return await _run(self._search, work, *args, **kwargs)

    async def store(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run what writes the store."""
        return await _run(self._store, work, *args, **kwargs)

    async def build(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run what takes long: a whole BM25 index, k-means, snapshots."""
        return await _run(self._build, work, *args, **kwargs)

    async def words(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Merge segments of words, which cannot wait for what takes minutes."""
        return await _run(self._words, work, *args, **kwargs)

    async def model(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a query model: a large one must not hold up the searches of those who want none."""
        return await _run(self._model, work, *args, **kwargs)

    async def far(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask a vector database: it may be slow or away, and only those who ask it wait for it."""
        return await _run(self._far, work, *args, **kwargs)

    def close(self) -> None:
        """Wait for what runs and end the threads."""
        for thread in (self._search, self._store, self._build, self._words, self._model, self._far):
            thread.shutdown(wait=True)


def _thread(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=use_one_thread)


async def _run(
    thread: ThreadPoolExecutor, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(thread, lambda: work(*args, **kwargs))
