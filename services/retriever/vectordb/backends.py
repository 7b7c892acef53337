"""From the settings to the vector database that they name; without one nothing of it is imported."""

from services.retriever.settings import RetrieverSettings
from services.retriever.vectordb.mirrors import Backend
from trimtab.worker.settings import InvalidSettings


def backend_of(settings: RetrieverSettings) -> Backend | None:
    """Return the vector database of the settings; None when every collection lives in memory.

    Raises:
        InvalidSettings: its package is not installed.
    """
    if "milvus" not in settings.backends.values():
        return None
    try:
        from services.retriever.vectordb.milvus import Milvus, MilvusOptions
    except ModuleNotFoundError as missing:
        raise InvalidSettings(
            f"RETRIEVER_BACKENDS names Milvus and {missing.name} is not installed;"
            " run: pip install 'trimtab[retriever-milvus]'"
        ) from None
    options = MilvusOptions(
        uri=settings.milvus_uri,
        token=settings.milvus_token.get_secret_value(),
        index=settings.milvus_index,
        nlist=settings.milvus_nlist,
        shards=settings.milvus_shards,
        replicas=settings.milvus_replicas,
    )
    return Backend(Milvus(options), settings.backends, settings.milvus_timeout_ms / 1000)
