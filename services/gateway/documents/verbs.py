"""The verbs of documents: put, delete and get, the same over NATS and over HTTP."""

from services.gateway.documents.intake import Intake, document_key
from services.gateway.documents.removal import Removals
from services.gateway.documents.stream import DocStream, holds
from services.gateway.pipeline import Pipeline
from trimtab.contracts import subjects
from trimtab.contracts.documents import (
    DeleteDocuments,
    DeleteReply,
    GetDocument,
    IndexedPassage,
    PutDocuments,
    PutReply,
    StoredDocument,
)
from trimtab.contracts.errors import UnknownDocument
from trimtab.contracts.headers import RequestContext
from trimtab.contracts.message import decode
from trimtab.contracts.retrieve import PUBLIC_TENANT


class Documents:
    """What callers may do with passages; each verb sees one release, as a search does."""

    def __init__(self, stream: DocStream, pipeline: Pipeline) -> None:
        self._stream = stream
        self._pipeline = pipeline
        self._intake = Intake(stream)
        self._removals = Removals(stream)

    async def put(self, request: PutDocuments, context: RequestContext) -> PutReply:
        """Add or replace passages; raises what :meth:`Intake.put` and :meth:`Pipeline.stages` do."""
        return await self._intake.put(request, self._pipeline.stages(context))

    async def delete(self, request: DeleteDocuments, context: RequestContext) -> DeleteReply:
        """Remove the tenant's passages; raises what :meth:`Removals.delete` does, or that all is closed."""
        stages = self._pipeline.stages(context)
        return await self._removals.delete(request, context.tenant, stages.passages)

    async def get(self, request: GetDocument, context: RequestContext) -> StoredDocument:
        """Return a passage as it is stored: the tenant's own, else the public one.

        Raises:
            UnknownDocument: there is none, or it was deleted.
            UnknownCollection: nobody ever ingested under this name.
            BusUnavailable: the stream does not answer.
        """
        for tenant in dict.fromkeys((context.tenant, PUBLIC_TENANT)):
            key = document_key(tenant, request.id)
            found = await self._stream.last(subjects.document(request.collection, key))
            if found is not None and holds(found):
                passage = decode(IndexedPassage, found.data or b"")
                return StoredDocument(
                    collection=passage.collection,
                    namespace=passage.namespace,
                    component=passage.component,
                    content_hash=passage.content_hash,
                    sequence=found.seq or 0,
                    document=passage.document,
                )
        if await self._stream.record(request.collection) is None:
            raise await self._stream.unknown(request.collection)
        raise UnknownDocument(request.id, request.collection)
