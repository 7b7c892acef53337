"""Gateway -> encoder: texts to unit vectors."""

from typing import Annotated, Literal

from msgspec import Meta

from trimtab.contracts.message import Message
from trimtab.contracts.sparse import Kind, SparseVectors
from trimtab.contracts.tensor import Matrix

MAX_TEXTS = 256
"""Most texts in one request; the client splits longer lists."""

Overflow = Literal["reject", "truncate"]
"""What to do with a text over the namespace's token budget."""

Profile = Literal["query", "passage"]
"""What the text is; models with asymmetric prompts care."""


class EncodeRequest(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Gateway -> encoder (``trimtab.v1.encode.<component>``)."""

    namespace: str
    """Which vector space, for example ``single_vector.minilm.384.v1``."""
    texts: Annotated[list[str], Meta(min_length=1, max_length=MAX_TEXTS)]
    """1 to 256 non-blank texts."""
    overflow: Overflow = "truncate"
    """Reject or truncate a text over the token budget; truncations are counted."""
    tokens: bool = False
    """Also return int8 token vectors, for MaxSim."""
    sparse: Kind | None = None
    """Also return learned sparse vectors of that kind, where the encoder has a model of such; None asks for none."""


class TokenVectors(Message, frozen=True, kw_only=True):
    """Late-interaction vectors of several texts, one below the other."""

    matrix: Matrix
    """(sum of counts, 128) int8: PCA projection of each token's vector, unit length times 127."""
    counts: list[int]
    """Rows of each text, in order."""


class EncodeReply(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Encoder -> gateway."""

    namespace: str
    """Echo of the request's."""
    vectors: Matrix
    """(texts, dimension) float32, each row of unit L2 norm within 1e-5."""
    token_counts: list[int]
    """Tokens of each text as the model saw it, special tokens included."""
    truncated: Annotated[int, Meta(ge=0)]
    """How many texts lost their tail to the token budget."""
    cached: Annotated[int, Meta(ge=0)]
    """How many came from the content-hash cache."""
    tokens: TokenVectors | None = None
    """Present when the request asked for them."""
    sparse: SparseVectors | None = None
    """One per text; None when the request did not ask, or the encoder has no model that makes them."""
