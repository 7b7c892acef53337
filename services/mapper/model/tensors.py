"""An adapter's numbers as named tensors: small on disk, checked against the card before they are used. Pure.

Unit vectors are kept as int8, which keeps cosines within 0.005; a network's rows as int8 with one scale
each; other weights as float16 where that is enough.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.mapper.model.adapter import Adapter, Feature
from services.mapper.model.anchors import Anchors, Terms
from services.mapper.model.calibration import Calibration
from services.mapper.model.heads import Lexical, Linear
from services.mapper.model.lexical import Lexicon
from services.mapper.model.network import Network

Tensor = NDArray[Any]
Tensors = dict[str, Tensor]

_SCALE = np.float32(127.0)

_KEYS = "lexical.keys"
"""Only where features are not folded into buckets."""

_ALWAYS = ("descriptions", "aliases", "examples")
_PARTS: Mapping[Feature, tuple[str, ...]] = {
    Feature.DENSE: ("dense.weight", "dense.bias"),
    Feature.LEXICAL: ("lexical.rows", "lexical.bias"),
    Feature.NETWORK: tuple(
        f"network.{part}" for part in ("rows", "scales", "dense", "bias", "out", "out_bias")
    ),
    Feature.SENTENCE: ("sentences.vectors", "sentences.labels"),
    Feature.TERMS: ("terms.starts", "terms.labels", "terms.values"),
}
"""What a score needs beside the anchors and the frequencies that every adapter has."""


def pack(adapter: Adapter) -> Tensors:
    """Return the tensors of an adapter, each one block of memory row by row."""
    tensors: Tensors = {"lexical.idf": adapter.lexicon.idf.astype(np.float32)}
    if adapter.lexicon.keys is not None:
        tensors[_KEYS] = adapter.lexicon.keys.astype(np.uint32)
    for kind in _ALWAYS:
        tensors |= _packed_anchors(kind, getattr(adapter, kind))
    if adapter.dense is not None:
        tensors["dense.weight"] = adapter.dense.weight.astype(np.float32)
        tensors["dense.bias"] = adapter.dense.bias.astype(np.float32)
    if adapter.words is not None:
        tensors["lexical.rows"] = adapter.words.rows.astype(np.float16)
        tensors["lexical.bias"] = adapter.words.bias.astype(np.float32)
    if adapter.network is not None:
        tensors |= _packed_network(adapter.network)
    if adapter.sentences is not None:
        tensors |= _packed_anchors("sentences", adapter.sentences)
    if adapter.terms is not None:
        tensors["terms.starts"] = adapter.terms.starts.astype(np.int32)
        narrow = len(adapter.labels) <= np.iinfo(np.uint16).max
        tensors["terms.labels"] = adapter.terms.labels.astype(np.uint16 if narrow else np.int32)
        tensors["terms.values"] = adapter.terms.values.astype(np.float16)
    # safetensors writes memory as it lies: scikit-learn's weights lie column by column.
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def unpack(
    tensors: Tensors,
    labels: tuple[str, ...],
    weights: Mapping[Feature, float],
    calibration: Calibration,
) -> Adapter:
    """Return the adapter of tensors in which :func:`misfit` found nothing."""
    return Adapter(
        labels=labels,
        lexicon=_lexicon(tensors),
        descriptions=_anchors(tensors, "descriptions"),
        aliases=_anchors(tensors, "aliases"),
        examples=_anchors(tensors, "examples"),
        weights=weights,
        calibration=calibration,
        dense=Linear(_f32(tensors["dense.weight"]), _f32(tensors["dense.bias"]))
        if Feature.DENSE in weights
        else None,
        words=Lexical(_f32(tensors["lexical.rows"]), _f32(tensors["lexical.bias"]))
        if Feature.LEXICAL in weights
        else None,
        network=_network(tensors) if Feature.NETWORK in weights else None,
        sentences=_anchors(tensors, "sentences") if Feature.SENTENCE in weights else None,
        terms=_terms(tensors) if Feature.TERMS in weights else None,
    )


def misfit(
    tensors: Tensors, weights: Mapping[Feature, float], dimension: int, buckets: int, labels: int
) -> str | None:
    """Return what does not fit between the numbers and the card; None when all does."""
    parts = [part for feature in Feature if feature in weights for part in _PARTS.get(feature, ())]
    names = {"lexical.idf", *parts, *({_KEYS} & set(tensors))}
    names |= {f"{kind}.{part}" for kind in _ALWAYS for part in ("vectors", "labels")}
    if set(tensors) != names:
        return f"does not hold exactly {', '.join(sorted(names))}"
    shapes = _shapes(tensors, dimension, buckets, labels)
    for name in sorted(names):
        if tensors[name].shape != shapes[name]:
            return f"{name} is {tensors[name].shape}, not {shapes[name]}"
        if not np.isfinite(tensors[name]).all():
            return f"{name} holds a number that is not finite"
    return _misplaced(tensors, labels)


def _shapes(
    tensors: Tensors, dimension: int, buckets: int, labels: int
) -> dict[str, tuple[int, ...]]:
    hidden = len(tensors.get("network.bias", ()))
    shapes: dict[str, tuple[int, ...]] = {
        "dense.weight": (labels, dimension),
        "dense.bias": (labels,),
        "lexical.rows": (buckets, labels),
        "lexical.bias": (labels,),
        "lexical.idf": (buckets,),
        _KEYS: (buckets,),
        "network.rows": (buckets, hidden),
        "network.scales": (buckets,),
        "network.dense": (dimension, hidden),
        "network.bias": (hidden,),
        "network.out": (hidden, labels),
        "network.out_bias": (labels,),
        "terms.starts": (buckets + 1,),
        "terms.labels": (len(tensors.get("terms.values", ())),),
        "terms.values": (len(tensors.get("terms.values", ())),),
    }
    for kind in (*_ALWAYS, "sentences"):
        count = len(tensors.get(f"{kind}.labels", ()))
        shapes |= {f"{kind}.labels": (count,), f"{kind}.vectors": (count, dimension)}
    return shapes


def _misplaced(tensors: Tensors, labels: int) -> str | None:
    """Return which numbers point where nothing is."""
    for kind in (*_ALWAYS, "sentences", "terms"):
        owners = tensors.get(f"{kind}.labels")
        if owners is not None and len(owners) and (owners.min() < 0 or owners.max() >= labels):
            return f"{kind}.labels points outside the labels"
        if owners is not None and kind != "terms" and (np.diff(owners) < 0).any():
            return f"{kind}.labels does not rise"
    if _KEYS in tensors and (np.diff(tensors[_KEYS].astype(np.int64)) <= 0).any():
        return f"{_KEYS} does not rise"
    starts = tensors.get("terms.starts")
    if starts is None:
        return None
    ends = (int(starts[0]), int(starts[-1]))
    if ends != (0, len(tensors["terms.values"])) or (np.diff(starts) < 0).any():
        return "terms.starts does not rise from the first entry to the last"
    return None


def _packed_anchors(kind: str, anchors: Anchors) -> Tensors:
    return {
        f"{kind}.vectors": np.rint(anchors.vectors * _SCALE).astype(np.int8),
        f"{kind}.labels": anchors.labels.astype(np.int32),
    }


def _packed_network(network: Network) -> Tensors:
    scales = np.maximum(np.abs(network.rows).max(axis=1), 1e-12) / _SCALE
    return {
        "network.rows": np.rint(network.rows / scales[:, np.newaxis]).astype(np.int8),
        "network.scales": scales.astype(np.float32),
        "network.dense": network.dense.astype(np.float16),
        "network.bias": network.bias.astype(np.float32),
        "network.out": network.out.astype(np.float16),
        "network.out_bias": network.out_bias.astype(np.float32),
    }


def _network(tensors: Tensors) -> Network:
    rows = _f32(tensors["network.rows"]) * tensors["network.scales"][:, np.newaxis]
    names: Sequence[str] = ("dense", "bias", "out", "out_bias")
    return Network(_f32(rows), *(_f32(tensors[f"network.{name}"]) for name in names))


def _lexicon(tensors: Tensors) -> Lexicon:
    keys = tensors[_KEYS].astype(np.int64) if _KEYS in tensors else None
    return Lexicon(_f32(tensors["lexical.idf"]), keys)


def _terms(tensors: Tensors) -> Terms:
    starts, labels = (tensors[f"terms.{part}"].astype(np.int64) for part in ("starts", "labels"))
    return Terms(starts, labels, _f32(tensors["terms.values"]))


def _anchors(tensors: Tensors, kind: str) -> Anchors:
    vectors = _f32(tensors[f"{kind}.vectors"])
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Anchors(vectors / np.maximum(norms, 1e-9), tensors[f"{kind}.labels"].astype(np.int64))


def _f32(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor, dtype=np.float32)
