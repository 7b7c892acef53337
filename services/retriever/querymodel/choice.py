"""Which vector a search looks with: the query's own, or a query model's, with the reason when it is not.

Nothing here fails a search: a model that is not there, or has too little to read, costs only itself.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from services.retriever import query
from services.retriever.querymodel.model import WINDOW, Mean, QueryModel, Vectors
from services.retriever.retrieved import Retrieved
from trimtab.contracts.retrieve import LAST_VEC, Fallback, RetrieveRequest
from trimtab.contracts.tensor import Matrix
from trimtab.evaluation.norms import Norms, norms_of

QUERY_MODEL_FALLBACK = "query_model_fallback"
"""Bad event: the query's own vector was searched with, although a model was asked for."""

_NORM_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Choice:
    """What to search with."""

    impl: str
    """What made the vector."""
    vector: Vectors | None = None
    """(dimension,) of unit length; None: the query's own."""
    fallback: Fallback | None = None
    """Why that is not what was asked for."""
    read: Vectors | None = None
    """(n, dimension) context that the model read, without the query's own vector; None: nothing was read."""
    took_s: float = 0.0
    """Seconds that the model took."""

    def request(self, request: RetrieveRequest) -> RetrieveRequest:
        """Return the request with the vector to search with."""
        if self.vector is None:
            return request
        return msgspec.structs.replace(request, vector=Matrix.of(self.vector[np.newaxis]))

    def told(self, found: Retrieved) -> Retrieved:
        """Return what was found, saying what it was found with."""
        if self is OWN:
            return found
        reply = msgspec.structs.replace(found.reply, impl=self.impl, fallback=self.fallback)
        bad = found.bad if self.fallback is None else (*found.bad, QUERY_MODEL_FALLBACK)
        took_s = {**found.took_s, "model": self.took_s} if self.took_s else found.took_s
        return replace(found, reply=reply, bad=bad, took_s=took_s)


OWN = Choice(LAST_VEC)
"""The query's own vector, since nobody asked for another."""


def wants_model(request: RetrieveRequest) -> bool:
    """Return whether a request asks for another vector than the query's own."""
    return request.impl is not None and request.impl != LAST_VEC


class QueryModels:
    """The query models of one worker; changed by the event loop while another thread asks."""

    def __init__(self, models: Iterable[QueryModel] = ()) -> None:
        """``models`` beside ``last_vec`` and ``mean``; a bare name means the first of that name."""
        self._models = _by_name((Mean(), *models))

    @property
    def references(self) -> list[str]:
        """What may be asked for, by reference, ``last_vec`` first."""
        return [LAST_VEC, *(model.reference for model in self._loaded)]

    def add(self, model: QueryModel) -> None:
        """Answer with one more model from now on; a bare name goes on meaning the model that it did."""
        self._models = _by_name((*self._loaded, model))

    def remove(self, reference: str) -> None:
        """Answer with a model no longer: who asks for it falls back."""
        self._models = _by_name(model for model in self._loaded if model.reference != reference)

    @property
    def _loaded(self) -> list[QueryModel]:
        return list({model.reference: model for model in self._models.values()}.values())

    def choose(self, request: RetrieveRequest) -> Choice:
        """Return the vector to search with.

        Raises:
            DimensionMismatch: the window's vectors are of another dimension than the query's.
            InvalidMessage: they are not f32 rows of unit length.
        """
        if request.impl is None or request.impl == LAST_VEC:
            return OWN
        model = self._models.get(request.impl)
        if model is None:
            return Choice(LAST_VEC, fallback=Fallback.NOT_LOADED)
        if request.window is None or request.window.rows < model.least:
            return Choice(LAST_VEC, fallback=Fallback.WINDOW_SHORT)
        window = query.unit_rows("window", request.window, request.vector.dim)
        if not model.fits(request.namespace, request.vector.dim):
            return Choice(LAST_VEC, fallback=Fallback.NAMESPACE)
        return _asked(model, window)

    def norms(self, namespace: str, window: Vectors, tolerance: float) -> dict[str, Norms]:
        """Return the norm of what every model of that space makes of a window of five vectors, by reference."""
        return {
            model.reference: norms_of(model.vector(window)[np.newaxis], tolerance)
            for model in self._loaded
            if model.fits(namespace, window.shape[1])
        }


def _by_name(models: Iterable[QueryModel]) -> dict[str, QueryModel]:
    found: dict[str, QueryModel] = {}
    for model in models:
        found[model.reference] = model
        found.setdefault(model.reference.partition("@")[0], model)
    return found


def _asked(model: QueryModel, window: Vectors) -> Choice:
    started = time.perf_counter()
    vector = model.vector(window)
    took_s = time.perf_counter() - started
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not abs(length - 1.0) < _NORM_TOLERANCE:  # also refuses what is not finite
        return Choice(LAST_VEC, fallback=Fallback.BAD_OUTPUT, took_s=took_s)
    return Choice(model.reference, vector, read=window[-WINDOW:-1], took_s=took_s)
