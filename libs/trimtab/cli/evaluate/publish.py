"""What `trimtab eval run --publish` tells the controller: this run beside the earlier ones."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.cli.failure import Failure
from trimtab.cli.link import reach
from trimtab.contracts.errors import DeadlineExceeded, NoWorkers
from trimtab.contracts.evaluation import Evaluation, RetrievedFigures

EARLIER = 7
"""Runs that the median is of: a week of nightly ones (runbook 5, monitoring)."""

_PATIENCE_S = 10.0


_DAY_S = 24 * 3600.0


def evaluation_of(
    record: Mapping[str, Any],
    earlier: Sequence[Mapping[str, Any]],
    alone: Sequence[Mapping[str, Any]] = (),
) -> Evaluation:
    """Return a run as the controller is told of it; ``earlier`` are runs of the same queries, oldest first.

    ``alone`` are those that asked the encoder and the retriever alone.

    Runs with an error or with something left out say nothing of how good the search was: one night of
    timeouts in the median, and the next ones could lose half their answers unnoticed.

    Raises:
        Failure: a query got an error, several releases answered, or there is no earlier whole run to
            compare with.
    """
    if record["error_rate"]:
        raise Failure(
            f"not published: {100 * record['error_rate']:.3g} % of the queries got an error",
            "look at `trimtab status` and run it again: an outage is no loss of quality",
        )
    releases = list(record["releases"])
    if len(releases) != 1:
        raise Failure(
            f"not published: {len(releases)} releases answered ({', '.join(releases) or 'none'})",
            "evaluate one alone: --no-rerank --release NAME",
        )
    sound = [each for each in earlier if _sound(each)]
    if not sound:
        raise Failure(
            "not published: the history holds no earlier run of these queries without errors and "
            "with nothing left out",
            "run it once without --publish, while the search is known to be good",
        )
    recalls = [_mean(each, "R@5") for each in sound[-EARLIER:]]
    return Evaluation(
        at=record["at"],
        release=releases[0],
        collection=record["collection"],
        queries=record["queries"],
        recall_at_5=_mean(record, "R@5"),
        before=statistics.median(recalls),
        contain_at_50=_mean(record, "Contain@50"),
        mrr_at_10=_mean(record, "MRR@10"),
        retrieved=_retrieved(record, alone),
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


def _retrieved(
    record: Mapping[str, Any], alone: Sequence[Mapping[str, Any]]
) -> RetrievedFigures | None:
    """Return the newest figures of the same release before its reranker; None without any of the day before."""
    for each in reversed(alone):
        same = _sound(each) and list(each["releases"]) == list(record["releases"])
        if same and 0 <= record["at"] - each["at"] < _DAY_S:
            return RetrievedFigures(
                recall_at_5=_mean(each, "R@5"),
                mrr_at_10=_mean(each, "MRR@10"),
                contain_at_50=_mean(each, "Contain@50"),
            )
    return None


def _sound(record: Mapping[str, Any]) -> bool:
    return record["error_rate"] == 0 and not record["degraded"]


def _mean(record: Mapping[str, Any], metric: str) -> float:
    return float(record["metrics"][metric]["mean"])
