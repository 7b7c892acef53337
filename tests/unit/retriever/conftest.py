"""Like a worker's threads, these tests keep faiss from starting threads of its own."""

import pytest

from services.retriever.dense.flat import use_one_thread


@pytest.fixture(autouse=True, scope="session")
def _one_faiss_thread() -> None:
    use_one_thread()
