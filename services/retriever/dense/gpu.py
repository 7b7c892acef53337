"""The only module that touches faiss's GPU API: whether there is a device, and how IVF lists get onto it.

The CPU wheel of faiss lacks the API, the GPU wheel imports without a device and then fails late: both are
looked for here, before anything is promised.
"""

from typing import Any, Literal

from services.retriever.dense.flat import faiss
from services.retriever.dense.ondevice import Clone, ToDevice

Wanted = Literal["cpu", "gpu", "auto"]

_API = ("StandardGpuResources", "GpuClonerOptions", "index_cpu_to_gpu", "get_num_gpus")
_TEMPORARY_BYTES = 64 * 1024**2
"""Scratch memory of one clone on the device: faiss would take 1.5 GB of it, for each."""


class NoDevice(Exception):
    """A GPU was asked for and cannot be used; says why, and what to do."""


def device(wanted: Wanted) -> ToDevice | None:
    """Return what clones IVF lists onto the first GPU; None for the CPU.

    Raises:
        NoDevice: ``wanted`` is ``gpu`` and there is none, or faiss cannot use it.
    """
    if wanted == "cpu":
        return None
    missing = _missing()
    if not missing:
        return _clone
    if wanted == "gpu":
        raise NoDevice(missing)
    return None


def _missing() -> str:
    """Return what stands between faiss and a GPU; empty when nothing does."""
    if not all(hasattr(faiss, name) for name in _API):
        return (
            "this faiss is built for the CPU; put faiss-gpu in the place of faiss-cpu: "
            "pip uninstall faiss-cpu && pip install faiss-gpu"
        )
    if faiss.get_num_gpus() < 1:
        return "faiss finds no GPU; look at nvidia-smi and CUDA_VISIBLE_DEVICES"
    return ""


def _clone(lists: Any) -> Clone:
    """Copy IVF-Flat lists to GPU 0 in full precision."""
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(_TEMPORARY_BYTES)
    options = faiss.GpuClonerOptions()
    options.useFloat16 = False
    options.use_cuvs = False
    options.indicesOptions = faiss.INDICES_64_BIT
    return Clone(faiss.index_cpu_to_gpu(resources, 0, lists, options), resources)
