"""What `trimtab eval run --publish` tells the controller: this run beside the earlier ones."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.cli.failure import Failure
from trimtab.cli.link import reach
from trimtab.contracts.errors import DeadlineExceeded, NoWorkers
from trimtab.contracts.evaluation import Evaluation

EARLIER = 7
"""Runs that the median is of: a week of nightly ones (runbook 5, monitoring)."""

_PATIENCE_S = 10.0


def evaluation_of(record: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> Evaluation:
    """Return a run as the controller is told of it; ``earlier`` are runs of the same queries, oldest first.

    Runs with an error or with something left out say nothing of how good the search was: one night of
    timeouts in the median, and the next ones could lose half their answers unnoticed.

    Raises:
        Failure: several releases answered, or there is no earlier whole run to compare with.
    """
    releases = list(record["releases"])
    if len(releases) != 1:
        raise Failure(
            f"not published: {len(releases)} releases answered ({', '.join(releases) or 'none'})",
            "evaluate one alone: --no-rerank --release NAME",
        )
    sound = [each for each in earlier if each["error_rate"] == 0 and not each["degraded"]]
    if not sound:
        raise Failure(
            "not published: the history holds no earlier run of these queries without errors and "
            "with nothing left out",
            "run it once without --publish, while the search is known to be good",
        )
    recalls = [_recall(each) for each in sound[-EARLIER:]]
    return Evaluation(
        at=record["at"],
        release=releases[0],
        collection=record["collection"],
        queries=record["queries"],
        recall_at_5=_recall(record),
        before=statistics.median(recalls),
        contain_at_50=float(record["metrics"]["Contain@50"]["mean"]),
    )


async def publish(url: str, nkey_seed: Path | None, evaluation: Evaluation) -> None:
    """Tell the controllers, and wait until one has it on disk.

    Raises:
        Failure: none answered, or a later evaluation of the release is kept already.
        RemoteError: it was refused, or could not be stored.
    """
    async with reach(url, nkey_seed) as client:
        try:
            reply = await client.tell(evaluation, timeout_s=_PATIENCE_S)
        except (NoWorkers, DeadlineExceeded) as error:
            raise Failure(
                "not published: no controller acknowledged the evaluation, nobody acts on it",
                "look at `trimtab status`, start a controller, then run it again",
                error=type(error).__name__,
            ) from None
    if not reply.kept:
        raise Failure(
            f"not published: a later evaluation of release {evaluation.release} is kept already",
            "compare this machine's clock with that of who published it",
        )


def _recall(record: Mapping[str, Any]) -> float:
    return float(record["metrics"]["R@5"]["mean"])
