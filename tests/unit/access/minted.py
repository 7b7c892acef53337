"""Keys for tests."""

from trimtab.access.tokens import mint
from trimtab.contracts.keys import ApiKey, Scope


def minted(
    tenant: str = "acme",
    *scopes: Scope,
    expires_at: float | None = None,
    per_minute: int | None = None,
) -> tuple[str, ApiKey]:
    """Return a key as its caller has it and as it is kept; every scope unless some are named."""
    text, token = mint()
    return text, ApiKey(
        id=token.id,
        digest=token.digest,
        tenant=tenant,
        scopes=list(scopes or Scope),
        created_at=0.0,
        expires_at=expires_at,
        per_minute=per_minute,
    )
