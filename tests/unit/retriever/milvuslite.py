"""An embedded Milvus in a folder of the test, or none: then the tests that need one are skipped."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from services.retriever.vectordb.milvus import IndexKind, Milvus


@contextmanager
def embedded(folder: Path, index: "IndexKind" = "ivf_flat", nlist: int = 8) -> Iterator["Milvus"]:
    """A Milvus over a file in ``folder``, stopped afterwards."""
    pytest.importorskip("pymilvus", reason="pip install 'trimtab[retriever-milvus]'")
    manager = pytest.importorskip("milvus_lite.server_manager", reason="pip install milvus-lite")
    from services.retriever.vectordb.milvus import Milvus, MilvusOptions

    path = folder / "milvus.db"
    milvus = Milvus(MilvusOptions(str(path), index=index, nlist=nlist))
    try:
        yield milvus
    finally:
        milvus.close()
        manager.server_manager_instance.release_server(str(path))
