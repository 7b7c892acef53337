"""Vectors and matrices on the wire: raw little-endian bytes with dtype and shape stated, never JSON."""

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from trimtab.contracts.errors import InvalidMessage
from trimtab.contracts.message import Message

DType = Literal["f32", "f16", "i8"]

_NUMPY: dict[str, np.dtype[Any]] = {
    "f32": np.dtype("<f4"),
    "f16": np.dtype("<f2"),
    "i8": np.dtype("i1"),
}
_NAMES: dict[np.dtype[Any], DType] = {
    np.dtype("<f4"): "f32",
    np.dtype("<f2"): "f16",
    np.dtype("i1"): "i8",
}


class Matrix(Message, frozen=True, kw_only=True):
    """A row-major matrix: ``rows`` x ``dim`` numbers of ``dtype``, little-endian."""

    dtype: DType
    """Element type: f32, f16, or i8 (a unit vector's component times 127)."""
    rows: Annotated[int, Meta(ge=0)]
    """Number of rows."""
    dim: Annotated[int, Meta(ge=1, le=16384)]
    """Number of columns."""
    data: bytes
    """rows * dim elements, row-major, little-endian."""

    @classmethod
    def of(cls, array: NDArray[Any]) -> "Matrix":
        """Wrap a 2-D array of float32, float16 or int8; raises ValueError for any other."""
        if array.ndim != 2 or array.dtype not in _NAMES:
            raise ValueError(f"expected 2-D f32, f16 or i8, got {array.ndim}-D {array.dtype}")
        return cls(
            dtype=_NAMES[array.dtype],
            rows=array.shape[0],
            dim=array.shape[1],
            data=np.ascontiguousarray(array).tobytes(),
        )

    def array(self) -> NDArray[Any]:
        """Return a read-only (rows, dim) view of the bytes.

        Raises:
            InvalidMessage: the byte count does not fit the stated shape.
        """
        dtype = _NUMPY[self.dtype]
        expected = self.rows * self.dim * dtype.itemsize
        if len(self.data) != expected:
            raise InvalidMessage(
                "Matrix",
                f"{self.rows}x{self.dim} {self.dtype} needs {expected} bytes, got {len(self.data)}",
            )
        return np.frombuffer(self.data, dtype=dtype).reshape(self.rows, self.dim)
