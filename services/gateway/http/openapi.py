"""The OpenAPI document, made from the same structs that parse and answer the requests."""

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.gateway.http.bodies import (
    NOT_BLANK,
    DocumentsBody,
    EmbeddingsAnswer,
    EmbeddingsBody,
    MapBatchBody,
    MapBatchResults,
    MapBody,
    MapResult,
    Problem,
    RerankAnswer,
    RerankBody,
)
from services.gateway.http.exchange import MAX_TIMEOUT_MS, NAME_PATTERN, REQUEST_ID, TIMEOUT
from services.gateway.http.guard import TENANT
from services.gateway.http.health import Health
from services.gateway.http.problems import MEDIA_TYPE, STATUSES
from services.gateway.http.replays import KEY, KEY_PATTERN, REPLAYED
from services.gateway.jobs.bodies import JobAnswer, JobBody
from trimtab.contracts.documents import DeleteDocuments, DeleteReply, PutReply, StoredDocument
from trimtab.contracts.feedback import FeedbackReply, FeedbackRequest
from trimtab.contracts.pipeline import SearchReply, SearchRequest
from trimtab.contracts.retrieve import COLLECTION_PATTERN

_TYPES: tuple[type[msgspec.Struct], ...] = (
    SearchRequest,
    SearchReply,
    DocumentsBody,
    PutReply,
    DeleteDocuments,
    DeleteReply,
    StoredDocument,
    EmbeddingsBody,
    EmbeddingsAnswer,
    RerankBody,
    RerankAnswer,
    MapBody,
    MapResult,
    MapBatchBody,
    MapBatchResults,
    FeedbackRequest,
    FeedbackReply,
    JobBody,
    JobAnswer,
    Health,
    Problem,
)
_EXAMPLES: dict[type[msgspec.Struct], dict[str, Any]] = {
    SearchRequest: {"text": "copy a whole directory tree", "limit": 3},
    DocumentsBody: {
        "collection": "notes",
        "documents": [{"id": "1", "text": "Hot changes need no restart."}],
    },
    DeleteDocuments: {"collection": "notes", "ids": ["1"]},
    RerankBody: {"query": "fruit", "documents": ["a rudder", "an apple"], "top_n": 1},
    MapBody: {"output": "hate/threatening", "detector": "openai-moderation"},
    FeedbackRequest: {"request_id": "search-1", "passage": "shutil.copytree"},
    JobBody: {
        "work": {
            "kind": "map",
            "request": {"output": "hate/threatening", "detector": "openai-moderation"},
        }
    },
    MapBatchBody: {"requests": [{"output": "violence", "detector": "openai-moderation"}]},
}
"""One request of each kind that a fresh deployment answers. None for embeddings: whether ``dimensions`` is
right depends on ``model``, which no schema can say, so a namespace that exists must not be invited."""

_TEMPLATE = "#/components/schemas/{name}"


def _reference(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _TEMPLATE.format(name=kind.__name__)}


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": schema,
    }


def _in_path(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", **schema},
    }


_HEADERS = [
    _header(TENANT, "Whose data may be seen.", {"type": "string", "pattern": NAME_PATTERN}),
    _header(
        REQUEST_ID,
        f"Echoed when it matches `{NAME_PATTERN}`, else replaced by a new one.",
        {"type": "string"},
    ),
]

_KEYED = _header(
    KEY,
    f"The same key with the same body gets the stored answer, with `{REPLAYED}: true`; with another body, 409.",
    {"type": "string", "pattern": KEY_PATTERN},
)

DESCRIPTION = f"""\
A retrieval-and-mapping pipeline that is steered while it runs.

Every POST reads the header `{TIMEOUT}`: milliseconds, 1 to {MAX_TIMEOUT_MS}, after which nobody wants the
answer. A request that cannot be answered by then gets 408. Every failure is an RFC 9457 problem.
"""
"""Of the API. The deadline stands here: as a typed parameter it would call any value sufficient."""


_OBEYS_KEYS = frozenset({MapBody, MapBatchBody, DocumentsBody, JobBody})


def post(body: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route that takes ``body``."""
    content: dict[str, Any] = {"schema": _reference(body)}
    if body in _EXAMPLES:
        content["example"] = _EXAMPLES[body]
    return {
        "requestBody": {"required": True, "content": {"application/json": content}},
        "parameters": [*_HEADERS, _KEYED] if body in _OBEYS_KEYS else _HEADERS,
    }


def one_job() -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route that names a job in its path."""
    return {"parameters": [_in_path("id", "Its id.", {"pattern": NAME_PATTERN}), *_HEADERS]}


def one_document() -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route that names a passage in its path."""
    return {
        "parameters": [
            _in_path("collection", "Its collection.", {"pattern": COLLECTION_PATTERN}),
            _in_path("id", "Its id; may hold slashes.", {"minLength": 1, "maxLength": 256}),
            *_HEADERS,
        ]
    }


def replies(
    reply: type[msgspec.Struct] | None, problems: Sequence[int] = STATUSES
) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route: its reply and every problem it can have."""
    schema: dict[str, Any] = {"type": "object"} if reply is None else _reference(reply)
    problem = {MEDIA_TYPE: {"schema": _reference(Problem)}}
    return {
        200: {"description": "Answered", "content": {"application/json": {"schema": schema}}},
        **{status: {"description": "Problem details", "content": problem} for status in problems},
    }


def _components() -> dict[str, Any]:
    _, made = msgspec.json.schema_components(_TYPES, ref_template=_TEMPLATE)
    # Python's end of a text is \Z, JSON Schema's is $.
    components: dict[str, Any] = orjson.loads(orjson.dumps(made).replace(rb"\\Z", b"$"))
    # The contract leaves blank texts to the stages, whose error says more than a pattern.
    search = components["SearchRequest"]["properties"]
    search["text"] |= NOT_BLANK
    search["context"]["items"] |= NOT_BLANK
    return components


_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "`tt_<id>_<secret>`, from `trimtab keys create`; `X-API-Key` works too.",
}


def install(app: FastAPI, *, keys_required: bool) -> None:
    """Make ``app.openapi`` include our schemas, and the API key where one must come."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            components = _components()
            made.setdefault("components", {}).setdefault("schemas", {}).update(components)
            if keys_required:
                made["components"]["securitySchemes"] = {"key": _KEY}
                made["security"] = [{"key": []}]
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way
