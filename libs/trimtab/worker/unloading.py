"""When a worker lets go of a component that a release brought and none names any more."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from trimtab.contracts.component import Stage
from trimtab.contracts.control import Switch
from trimtab.control.effective import Controls, wanted
from trimtab.control.feed import REREAD_S
from trimtab.control.tunables import QUERY_MODEL

KEEP_S = 2 * REREAD_S
"""How long a component stays that nothing wants: whoever heard later than we did may still ask for it."""


@dataclass
class Unloading:
    """The components of one stage that were loaded for releases."""

    stage: Stage
    """Which component of a release counts."""
    own: frozenset[str]
    """Components of the settings: they stay, whatever the releases name."""
    keep_s: float = KEEP_S
    """Seconds that a component stays although nothing wants it."""
    _unwanted_since: dict[str, float] = field(default_factory=dict)

    def due(self, has: Collection[str], known: Iterable[Controls], now: float) -> list[str]:
        """Return what is to be unloaded at ``now``, in seconds of a monotonic clock.

        ``has``: what is loaded. ``known``: the controls in force, and those that are being prepared for; a
        query model stays while a switch or a release names it, with its version or without.
        """
        keep = set(self.own)
        for controls in known:
            keep.update(wanted(controls, self.stage), _query_models(controls))
        spare = [each for each in has if keep.isdisjoint((each, each.partition("@")[0]))]
        self._unwanted_since = {each: self._unwanted_since.get(each, now) for each in spare}
        return [each for each in spare if now - self._unwanted_since[each] >= self.keep_s]


def _query_models(controls: Controls) -> list[str]:
    """Return the query models that the switch or a release names, as it names them."""
    thrown = (kill.value for kill in controls.lane.kills if kill.switch is Switch.RETRIEVER_IMPL)
    released = (each.settings.get(QUERY_MODEL) for each in controls.state.releases.values())
    return [*thrown, *(str(name) for name in released if name is not None)]
