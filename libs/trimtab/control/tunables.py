"""The bounded settings: what may be set, between which values, and what holds when nobody set it."""

import re
from dataclasses import dataclass

from trimtab.contracts.control import Value
from trimtab.contracts.errors import InvalidCommand, SettingOutOfBounds, UnknownSetting


@dataclass(frozen=True, slots=True)
class Tunable:
    """One setting that can be changed while requests flow."""

    name: str
    """Dotted: service, then what."""
    low: float
    """Least value allowed."""
    high: float
    """Greatest value allowed."""
    default: float | int
    """Holds when neither an operator nor the release says otherwise; an int makes it a whole number."""
    unit: str
    """For people."""
    why: str
    """When to touch it."""
    per_detector: bool = False
    """Whether ``<name>.<detector>`` is a setting too."""
    per_tenant: bool = True
    """Whether one tenant may have its own: not where requests of all of them share the work."""
    words: tuple[str, ...] = ()
    """Words for the values 0, 1, ... of a setting that is a choice, not a quantity."""


SPARSE = "gateway.sparse"
"""Whether queries and passages are given learned sparse vectors: 1 or 0."""

TUNABLES = {
    tunable.name: tunable
    for tunable in (
        Tunable(
            "retriever.nprobe",
            1,
            4096,
            8,
            "lists",
            "Fewer lists answer sooner and find less (runbook 5, nprobe tuning).",
        ),
        Tunable(
            "mapper.confidence_threshold",
            0.3,
            0.9,
            0.6,
            "probability",
            "Lower it for a while when too much falls back (runbook 2, MapperFallbackHigh).",
            per_detector=True,
        ),
        Tunable(
            "mapper.model_timeout_ms",
            50,
            60_000,
            1500,
            "milliseconds",
            "Most that a language model may take for a request, its retry included; the rules answer then.",
        ),
        Tunable(
            "mapper.on_timeout",
            0,
            1,
            0,
            "rules or fail",
            "fail: an error in place of the rules' answer when the model is late.",
            words=("rules", "fail"),
        ),
        Tunable("gateway.pool", 1, 200, 50, "candidates", "Candidates the reranker sees."),
        Tunable("gateway.retries", 0, 2, 2, "tries", "Extra tries after a worker shed a request."),
        Tunable(
            "gateway.search_budget_ms",
            10,
            120_000,
            2000,
            "milliseconds",
            "Deadline of a search or map over HTTP that names none.",
        ),
        Tunable(
            SPARSE,
            0,
            1,
            0,
            "yes or no",
            "1 where the retriever's component looks for learned sparse vectors: queries and new passages get them.",
        ),
        Tunable(
            "encoder.batch_texts",
            1,
            64,
            16,
            "texts",
            "Fewer make a short request wait less behind long ones; more make a full encoder faster.",
            per_tenant=False,
        ),
    )
}


ALIASES = {"mapper.threshold": "mapper.confidence_threshold"}
"""Shorter names that operators may type; the control state knows the full ones only."""

QUERY_MODEL = "retriever.impl"
"""Setting of a release that is a name, not a number: its query model. The switch of that name overrides it."""

_QUERY_MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,79}(@[A-Za-z0-9.]{1,39})?")


def tunable_of(name: str) -> Tunable:
    """Return the tunable that a setting's name belongs to.

    Raises:
        UnknownSetting: there is none of that name.
    """
    known = TUNABLES.get(name)
    if known is not None:
        return known
    for tunable in TUNABLES.values():
        if tunable.per_detector and name.startswith(f"{tunable.name}."):
            return tunable
    raise UnknownSetting(name, tuple(TUNABLES))


def scoped(name: str, detector: str = "") -> str:
    """Return the full name of a setting, of one detector when one is named.

    Raises:
        UnknownSetting: no such setting.
        InvalidCommand: the setting cannot differ by detector, or two detectors are named.
    """
    name = ALIASES.get(name, name)
    tunable = tunable_of(name)
    if not detector:
        return name
    if not tunable.per_detector:
        raise InvalidCommand(f"{name} cannot be limited to a detector; leave the detector out")
    if name != tunable.name:
        raise InvalidCommand(f"{name} names a detector already; leave one of the two out")
    return f"{name}.{detector}"


def checked(name: str, value: Value) -> float | int:
    """Return the value as the setting's own type.

    Raises:
        UnknownSetting: no such setting.
        SettingOutOfBounds: not a number, not whole where it must be, or out of its bounds.
    """
    tunable = tunable_of(name)
    if isinstance(value, str) and value in tunable.words:
        value = tunable.words.index(value)
    if isinstance(value, bool | str):
        raise SettingOutOfBounds(name, str(value), tunable.low, tunable.high)
    whole = isinstance(tunable.default, int)
    if not tunable.low <= value <= tunable.high or (whole and value != int(value)):
        raise SettingOutOfBounds(name, str(value), tunable.low, tunable.high)
    return int(value) if whole else float(value)


def checked_in_release(name: str, value: Value) -> Value:
    """Return the value of a release's setting as its own type: a tunable's, or a query model's name.

    Raises:
        UnknownSetting: no such setting.
        SettingOutOfBounds: as :func:`checked`.
        InvalidCommand: no name of a query model.
    """
    if name != QUERY_MODEL:
        return checked(name, value)
    if not isinstance(value, str) or not _QUERY_MODEL_NAME.fullmatch(value):
        raise InvalidCommand(f"{name} takes a query model's name, like mean or amn_v0")
    return value
