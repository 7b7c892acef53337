"""Windows of one article, articles never split, and a descent that learns what can be learnt."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from services.retriever import train_query_model
from services.retriever.querymodel.amn import AmnSize
from services.retriever.querymodel.component import Size, load_model
from services.retriever.querymodel.descent import Epoch, Schedule, Untrainable, fit, validate
from services.retriever.querymodel.gru import GruSize
from services.retriever.querymodel.model import Mean
from services.retriever.querymodel.source import SourceUnusable, read_passages
from services.retriever.querymodel.windows import Place, part_of, windows_of
from tests.unit.retriever.corpora import DIMENSION
from tests.unit.retriever.querymodels import turning
from trimtab.corpus.vectors import Space, write_vectors

SPACE = Space("single_vector.test.16.v1", "test-encoder@1")


def test_windows_are_consecutive_passages_of_one_article() -> None:
    places = [Place("a", seq) for seq in range(7)] + [Place("b", seq) for seq in range(5)]
    places += [Place("c", seq) for seq in (0, 1, 2, 4, 5, 6, 7)]
    shuffled = [places[n] for n in np.random.default_rng(0).permutation(len(places))]

    found = windows_of(shuffled)

    seen = [[(shuffled[n].article, shuffled[n].seq) for n in row] for row in found.rows.tolist()]
    assert sorted(seen) == [
        [("a", seq) for seq in range(6)],
        [("a", seq) for seq in range(1, 7)],
    ]
    assert found.articles == ["a", "a"]
    assert (found.read.shape, found.target.shape) == ((2, 5), (2,))


def test_no_windows_are_an_empty_result() -> None:
    assert windows_of([Place("a", 0)]).rows.shape == (0, 6)


def test_articles_are_split_by_their_names_alone_in_the_declared_shares() -> None:
    names = [f"article-{number}" for number in range(4000)]
    parts = [part_of(name) for name in names]
    places = [Place(name, seq) for name in names[:60] for seq in range(8)]
    windows = windows_of(places)

    assert parts.count("test") / 4000 == pytest.approx(0.3, abs=0.03)
    assert parts.count("validation") / 4000 == pytest.approx(0.1, abs=0.02)
    split = [windows.part("train"), windows.part("validation"), windows.part("test")]
    articles = [set(each.articles) for each in split]
    assert sum(map(len, articles)) == len(set().union(*articles)) == 60
    assert sum(len(each.rows) for each in split) == len(windows.rows)


@pytest.mark.parametrize(
    "size",
    [
        AmnSize(dimension=DIMENSION, d_model=16, hidden=32),
        GruSize(dimension=DIMENSION, hidden=32, blocks=2),
    ],
)
def test_a_model_learns_a_turn_that_the_mean_cannot_see(size: Size) -> None:
    places, vectors = turning(60, 12)
    windows = windows_of(places)

    fitted = fit(size, vectors, windows, Schedule(epochs=12, seed=1))

    test = windows.part("test")
    _, cosine = validate(fitted.network, vectors, test)
    means = np.stack([Mean().vector(vectors[row]) for row in test.read])
    of_the_mean = float((means * vectors[test.target]).sum(axis=1).mean())
    assert cosine > of_the_mean + 0.1
    assert fitted.best == min(fitted.epochs, key=lambda epoch: epoch.validation_loss)


def test_the_same_seed_gives_the_same_model_and_another_seed_another() -> None:
    places, vectors = turning(30, 8)
    size = AmnSize(dimension=DIMENSION, d_model=8, hidden=8)

    made = [
        fit(size, vectors, windows_of(places), Schedule(epochs=2, seed=seed)).network.parameters
        for seed in (3, 3, 4)
    ]

    assert all(np.array_equal(made[0][name], made[1][name]) for name in made[0])
    assert not np.array_equal(made[0]["mlp3.weight"], made[2]["mlp3.weight"])


def test_the_rate_is_halved_after_more_than_three_epochs_without_progress() -> None:
    rng = np.random.default_rng(8)
    places, _ = turning(30, 8)
    noise = rng.standard_normal((len(places), DIMENSION)).astype(np.float32)
    epochs: list[Epoch] = []

    fit(
        AmnSize(dimension=DIMENSION, d_model=8, hidden=64),
        noise,
        windows_of(places),
        Schedule(epochs=25, seed=1, learning_rate=0.02),
        epochs.append,
    )

    rates = [epoch.learning_rate for epoch in epochs]
    assert rates == expected_rates([epoch.validation_loss for epoch in epochs], 0.02)
    assert rates[-1] < rates[0]


def expected_rates(losses: Sequence[float], rate: float) -> list[float]:
    """The rule, from the losses: halve after the fourth epoch in a row that is no better by 1e-4 of it."""
    rates, best, bad = [], np.inf, 0
    for loss in losses:
        rates.append(rate)
        bad = 0 if loss < best * (1 - 1e-4) else bad + 1
        best = min(best, loss)
        if bad == 4:
            rate, bad = rate / 2, 0
    return rates


def test_nothing_to_learn_from_is_said_so() -> None:
    vectors = np.ones((4, DIMENSION), dtype=np.float32)

    with pytest.raises(Untrainable, match="0 windows to train on"):
        fit(AmnSize(dimension=DIMENSION), vectors, windows_of([Place("a", 0)]), Schedule())


def test_vectors_that_are_no_numbers_make_no_model() -> None:
    places, vectors = turning(30, 8)

    with pytest.raises(Untrainable, match="not a number"), np.errstate(invalid="ignore"):
        fit(
            AmnSize(dimension=DIMENSION, d_model=8, hidden=8),
            np.full_like(vectors, np.nan),
            windows_of(places),
            Schedule(epochs=1),
        )


def test_the_command_trains_from_files_and_writes_a_component_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places, vectors = turning(30, 8)
    passages = tmp_path / "passages.jsonl"
    rows = [
        {"id": f"p{n}", "article": place.article, "seq": place.seq, "text": f"text {n}", "x": 1}
        for n, place in enumerate(places)
    ]
    passages.write_text("\n".join(json.dumps(row) for row in rows))
    kept = tmp_path / "vectors.safetensors"
    write_vectors(kept, vectors, [row.searchable for row in read_passages(passages)], SPACE)
    words = ["--kind", "amn_v0", "--passages", str(passages), "--out", str(tmp_path / "out")]
    words += ["--vectors", str(kept), "--namespace", SPACE.namespace, "--encoder", SPACE.encoder]
    monkeypatch.setattr("sys.argv", ["train", *words, "--epochs", "1", "--seed", "3", "--json"])

    code = train_query_model.main()

    said = json.loads(capsys.readouterr().out)
    loaded = load_model(tmp_path / "out" / "amn_v0@1")
    assert code == 0
    assert (said["reference"], said["hash"]) == ("amn_v0@1", loaded.content_hash)
    assert said["training"] == loaded.card.training
    assert (loaded.card.training["epochs"], loaded.card.training["seed"]) == (1, 3)
    assert loaded.card.namespace == SPACE.namespace


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "holds no passages"),
        ('{"id": "a", "article": "b", "seq": 0, "text": "c"}\n{"id": 1}', "line 2"),
        ("\n\n{", "line 3"),
    ],
)
def test_a_file_that_holds_no_passages_is_refused_with_its_line(
    tmp_path: Path, content: str, why: str
) -> None:
    path = tmp_path / "passages.jsonl"
    path.write_text(content)

    with pytest.raises(SourceUnusable, match=why):
        read_passages(path)
