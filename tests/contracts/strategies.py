"""Hypothesis strategies built from a contract's own types and ranges: no contract is left out."""

import string
from collections.abc import Callable
from typing import Any

import msgspec.inspect as mi
import numpy as np
from hypothesis import strategies as st
from msgspec import Struct
from numpy.typing import NDArray

from trimtab.contracts.tensor import Matrix

_DTYPES: tuple[np.dtype[Any], ...] = (np.dtype("<f4"), np.dtype("<f2"), np.dtype("i1"))
_ALPHABET = st.characters(codec="utf-8")


def contract(kind: type[Struct]) -> st.SearchStrategy[Struct]:
    """Return a strategy of valid values of one contract."""
    if kind is Matrix:
        return matrices()
    info = mi.type_info(kind)
    assert isinstance(info, mi.StructType)
    required = {f.name: _of(f.type) for f in info.fields if f.required}
    optional = {f.name: _of(f.type) for f in info.fields if not f.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: kind(**fields))


def matrices() -> st.SearchStrategy[Struct]:
    """Return matrices of every dtype whose bytes fit their stated shape."""
    shapes = st.tuples(st.integers(0, 4), st.integers(1, 5), st.sampled_from(_DTYPES))
    return shapes.map(lambda s: Matrix.of(_counting(*s)))


def _counting(rows: int, dim: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.arange(rows * dim, dtype=np.int64).astype(dtype).reshape(rows, dim)


def _of(info: mi.Type) -> st.SearchStrategy[Any]:
    """Return the strategy of one type node; a node kind not listed here raises ``KeyError``."""
    builder: Callable[[Any], st.SearchStrategy[Any]] = _BUILDERS[type(info)]
    return builder(info)


def _text(info: Any) -> st.SearchStrategy[str]:
    if info.pattern is not None:
        limit = info.max_length or 120
        return st.from_regex(info.pattern, fullmatch=True, alphabet=string.printable).filter(
            lambda value: len(value) <= limit
        )
    return st.text(
        _ALPHABET, min_size=info.min_length or 0, max_size=min(info.max_length or 20, 20)
    )


def _list(info: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(_of(info.item_type), min_size=info.min_length or 0, max_size=3)


def _dict(info: Any) -> st.SearchStrategy[dict[Any, Any]]:
    return st.dictionaries(_of(info.key_type), _of(info.value_type), max_size=3)


def _integer(info: Any) -> st.SearchStrategy[int]:
    low = info.ge if info.ge is not None else -(2**63)
    return st.integers(low, info.le if info.le is not None else 2**63 - 1)


def _float(info: Any) -> st.SearchStrategy[float]:
    low = info.ge if info.ge is not None else info.gt
    return st.floats(
        low, info.le, exclude_min=info.gt is not None, allow_nan=False, allow_infinity=False
    )


_BUILDERS: dict[type[mi.Type], Any] = {
    mi.StrType: _text,
    mi.ListType: _list,
    mi.DictType: _dict,
    mi.IntType: _integer,
    mi.FloatType: _float,
    mi.BoolType: lambda info: st.booleans(),
    mi.BytesType: lambda info: st.binary(max_size=16),
    mi.NoneType: lambda info: st.none(),
    mi.EnumType: lambda info: st.sampled_from(list(info.cls)),
    mi.LiteralType: lambda info: st.sampled_from(list(info.values)),
    mi.UnionType: lambda info: st.one_of([_of(member) for member in info.types]),
    mi.StructType: lambda info: contract(info.cls),
}
