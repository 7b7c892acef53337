"""The components of a search called in one process, without a bus: what every overhead is compared with.

It imports the pure modules of three services, which only a benchmark may, and loads exactly the
files that the deployment serves.
"""

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from services.encoder.cache import EncodedText
from services.encoder.component import ComponentBackend, open_component
from services.encoder.compute import Job, compute
from services.reranker.component import Component, load_component
from services.reranker.ranking import rank
from services.retriever.dense.flat import use_one_thread
from services.retriever.edition import Edition
from services.retriever.passages.loading import lexical_of, load_collection
from services.retriever.passages.store import FILE, Store
from services.retriever.plan import load_plan
from services.retriever.search import retrieve
from services.retriever.words.terms import Stem, english_stemmer
from trimtab.contracts.component import Release
from trimtab.contracts.encode import TokenVectors
from trimtab.contracts.rerank import RerankReply
from trimtab.contracts.retrieve import PUBLIC_TENANT, RetrieveReply, RetrieveRequest, Signals
from trimtab.contracts.tensor import Matrix

POOL, LIMIT = 50, 10
"""The gateway's defaults: candidates fetched, results returned."""

REPLY_BYTES = 786_432
"""The retriever's default."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where the parts of a deployment's release lie."""

    encoder: str
    """Component folder."""
    retriever: str
    """Component folder."""
    reranker: str
    """Component folder."""
    passages: str
    """A copy of the retriever's store."""
    collection: str = "stdlib"
    """What is searched."""

    @classmethod
    def of(cls, home: Path, release: Release, copy: Path) -> "Files":
        """Find them below a deployment's home and copy its passages, which it may go on changing."""
        source = sqlite3.connect(home / "retriever" / "retriever-1" / FILE)
        target = sqlite3.connect(copy)
        source.backup(target)
        source.close()
        target.close()
        assert release.rerank is not None  # of the shipped release
        return cls(
            _component(home, release.encode),
            _component(home, release.retrieve),
            _component(home, release.rerank),
            str(copy),
        )


@dataclass
class Encoding:
    """The encode stage."""

    backend: ComponentBackend
    namespace: str

    @classmethod
    def load(cls, files: Files) -> "Encoding":
        """Open the component, one thread."""
        backend = open_component(Path(files.encoder))
        return cls(backend, backend.namespace)

    def request(self, text: str, collection: str) -> RetrieveRequest:
        """Encode a query into what the retrieve stage takes."""
        job = Job((text,), (0,), "truncate", tokens=True)
        ((row,),) = compute(self.backend, [job])
        assert isinstance(row, EncodedText)  # a question is never refused
        assert row.tokens is not None
        return RetrieveRequest(
            collection=collection,
            namespace=self.namespace,
            text=text,
            vector=Matrix.of(row.vector[np.newaxis]),
            tokens=TokenVectors(matrix=Matrix.of(row.tokens), counts=[len(row.tokens)]),
            limit=POOL,
        )


@dataclass
class Retrieving:
    """The retrieve stage; for the thread that loaded it."""

    edition: Edition
    stem: Stem

    @classmethod
    def load(cls, files: Files) -> "Retrieving":
        """Build the indexes from the copied store."""
        plan, manifest = load_plan(Path(files.retriever))
        store = Store(Path(files.passages))
        (row,) = (row for row in store.collections() if row.name == files.collection)
        collection = load_collection(store, row)
        assert collection.size < plan.dense.flat_below  # as the shipped corpus is served
        edition = Edition(collection, manifest.reference, plan)
        given = collection.lexical_input()
        edition.adopt_lexical(lexical_of(given, plan.lexical), given.generation)
        return cls(edition, english_stemmer())

    def reply(self, request: RetrieveRequest) -> RetrieveReply:
        """Find candidates."""
        return retrieve(self.edition, request, PUBLIC_TENANT, self.stem, REPLY_BYTES).reply


@dataclass
class Reranking:
    """The rerank stage."""

    component: Component

    @classmethod
    def load(cls, files: Files) -> "Reranking":
        """Load the network."""
        return cls(load_component(Path(files.reranker)))

    def reply(self, signals: Signals) -> RerankReply:
        """Order candidates."""
        return rank(signals, self.component).reply


@dataclass
class Search:
    """All three, one after another."""

    files: Files
    encoding: Encoding = field(init=False)
    retrieving: Retrieving = field(init=False)
    reranking: Reranking = field(init=False)

    def __post_init__(self) -> None:
        use_one_thread()
        self.encoding = Encoding.load(self.files)
        self.retrieving = Retrieving.load(self.files)
        self.reranking = Reranking.load(self.files)

    def search(self, text: str) -> list[str]:
        """Return the ids of the best passages."""
        found = self.retrieving.reply(self.encoding.request(text, self.files.collection))
        assert found.signals is not None  # the corpus is not empty
        order = self.reranking.reply(found.signals).order
        return [found.hits[position].id for position in order[:LIMIT]]


def keep_to_one_thread() -> None:
    """Keep NumPy's linear algebra in the calling thread, as every service does at its start."""
    # Comes with scikit-learn.
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def _component(home: Path, reference: str) -> str:
    (folder,) = (home / "components").glob(f"{reference}-*")
    return str(folder)
