"""The table of the search comparison: ratios of the same round, aims where they belong, failures in sight."""

from benchmarks.figure import Figure
from benchmarks.rounds import Timings
from benchmarks.search_findings import (
    BUS,
    EVERYTHING,
    INSIDE,
    NPROBES,
    PEER,
    RERANKED,
    VECTOR,
    Found,
    PeerFound,
    Rounds,
)
from benchmarks.search_sizes import Size
from benchmarks.search_tuning import Tuned


def took(ms: float) -> Timings:
    return Timings(latencies_ms=[ms] * 20, elapsed_s=1.0)


def found(**changed: object) -> Found:
    made = Found(Size(1000), 50, 8)
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def named(figures: list[Figure], part: str) -> Figure:
    [figure] = [each for each in figures if part in each.name]
    return figure


def service() -> Rounds:
    ways = {f"{way} {nprobe}": took(2.0) for way in (VECTOR, EVERYTHING) for nprobe in NPROBES}
    return [ways | {f"{RERANKED} 8": took(3.5)}]


def test_what_the_reranker_adds_is_the_difference_to_the_same_search_without_it() -> None:
    figures = found(service=service(), reranking=[[1.2] * 20]).figures()

    added = named(figures, "p95 added by reranking")
    assert added.value == 1.5
    assert added.met is True
    assert named(figures, "p95 the reranker's own request").value == 1.2


def test_only_the_shipped_nprobe_has_aims() -> None:
    recalls = {4: 0.5, 8: 0.96, 12: 0.97, 16: 0.98}

    figures = found(service=service(), reranking=[[1.2]], recalls=recalls).figures()

    aimed = [each.name for each in figures if each.aim is not None]
    assert all("nprobe 8" in name or "reranking" in name for name in aimed)
    assert named(figures, "recall@10 against FLAT, nprobe 8").met is True


def test_a_ratio_compares_a_peer_with_us_in_the_same_round() -> None:
    rounds: Rounds = [
        {INSIDE: took(1.0), PEER: took(3.0)},
        {INSIDE: took(10.0), PEER: took(20.0)},
    ]
    peer = PeerFound("other", tuned=Tuned(4, 0.99, True), sessions={(INSIDE, 1): rounds})

    figure = named(found(peers=[peer]).figures(), "p95 ratio")

    assert (figure.low, figure.high) == (2.0, 3.0)
    assert figure.met is True


def test_the_hop_is_shown_without_an_aim() -> None:
    rounds: Rounds = [{BUS: took(2.0), PEER: took(1.0)}]
    peer = PeerFound("other", tuned=Tuned(4, 0.99, True), sessions={(BUS, 2): rounds})

    figure = named(found(peers=[peer]).figures(), "2 cores, in process / ours over the bus")

    assert figure.value == 0.5
    assert figure.aim is None


def test_a_peer_that_failed_stands_in_the_table_and_says_why() -> None:
    made = found(peers=[PeerFound("other", failed="it would not build")])

    assert "peers not measured: other" in made.figures()[-1].name
    assert made.said() == ["1,000 x 384: other was not measured: it would not build"]


def test_a_peer_that_finds_less_than_we_do_is_marked() -> None:
    made = found(peers=[PeerFound("other", tuned=Tuned(4, 0.5, False), recall=0.51)])

    assert "its best: less than ours" in made.said()[0]
