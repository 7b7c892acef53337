"""LoRA adapters of a running vLLM server: loaded, listed and unloaded over HTTP while it answers.

The server must run with ``VLLM_ALLOW_RUNTIME_LORA_UPDATING=1`` and ``--enable-lora``. A name means one
content for ever: nothing is ever loaded in place of another, so no cache of the server can be stale.
"""

from dataclasses import dataclass

from trimtab.llm.wire import NOT_FOUND, LlmFailed, Wire


@dataclass(frozen=True, slots=True)
class Lora:
    """One adapter."""

    name: str
    """At the server: version and content."""
    path: str
    """Folder as the server sees it; its content never changes."""


async def listed(wire: Wire) -> set[str]:
    """Return the names of what the server can be asked for: base models and adapters.

    Raises:
        LlmFailed: it does not say.
    """
    page = await wire.get("/v1/models")
    found = page.get("data") if isinstance(page, dict) else None
    if not isinstance(found, list):
        raise LlmFailed(wire.server, "its list of models cannot be read")
    return {str(model["id"]) for model in found if isinstance(model, dict) and "id" in model}


async def load(wire: Wire, lora: Lora) -> None:
    """Load an adapter beside the others; one that is there stays as it is.

    Raises:
        LlmFailed: the server is not there, does not find the folder or refuses its content.
    """
    if lora.name in await listed(wire):
        return
    try:
        await wire.post("/v1/load_lora_adapter", {"lora_name": lora.name, "lora_path": lora.path})
    except LlmFailed:
        # Another worker may have been faster; what counts is that it is there.
        if lora.name not in await listed(wire):
            raise


async def unload(wire: Wire, lora: Lora) -> None:
    """Unload an adapter; one that is not there is as good as unloaded.

    Raises:
        LlmFailed: the server is not there.
    """
    try:
        await wire.post("/v1/unload_lora_adapter", {"lora_name": lora.name})
    except LlmFailed as error:
        if error.http_status not in (NOT_FOUND, 400):
            raise
