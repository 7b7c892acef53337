"""Names of the graph's inputs and outputs: what builds a graph and what runs one agree here."""

TOKEN_IDS = "input_ids"  # noqa: S105 - a graph input, no secret
"""Input (batch, tokens) int64."""

MASK = "attention_mask"
"""Input (batch, tokens) int64: 1 for a token, 0 for padding."""

SENTENCE = "sentence_embedding"
"""Output (batch, hidden) f32, unit length. Named so because ``embedding`` collides inside ONNX Runtime."""

TOKENS = "token_embeddings"
"""Output (batch, tokens, hidden) f32: the last layer, not normalised."""

TERMS = "term_weights"
"""Output (batch, terms) f32 >= 0 of a model of learned sparse vectors."""
