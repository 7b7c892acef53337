"""SPLADE computes what its paper says, keeps the heaviest terms, and is made of checked files only."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.encoder.names import MASK, TERMS, TOKEN_IDS
from services.encoder.sparse.bring import make
from services.encoder.sparse.checkpoint import CONFIG, TOKENIZER, WEIGHTS, read_checkpoint
from services.encoder.sparse.model import SparseModel, open_model
from services.encoder.sparse.pruning import Pruning, pruned
from tests.unit.encoder import checkpoints
from tests.unit.encoder.plain import splade
from tests.unit.encoder.tiny import VOCABULARY
from trimtab.artifacts.manifest import ArtifactCorrupt, ArtifactMissing
from trimtab.contracts.sparse import LEAST_WEIGHT, SparseRow

Array = NDArray[np.float32]
ALL = Pruning(passage_terms=512, query_terms=512, cap=100.0)
TEXTS = ["a", "q r s", "one word is [UNK] a b c d e f g"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A component made of a BERT."""
    scratch = tmp_path_factory.mktemp("sparse")
    return make(checkpoints.bert(scratch / "bert"), "tiny@1", scratch)


@pytest.fixture(scope="module")
def model(folder: Path) -> SparseModel:
    return open_model(folder, ALL)


def _weights(model: SparseModel, ids: list[list[int]], mask: list[list[int]]) -> Array:
    feed = {TOKEN_IDS: np.array(ids, dtype=np.int64), MASK: np.array(mask, dtype=np.int64)}
    (found,) = model.session.run([TERMS], feed)
    return np.asarray(found, dtype=np.float32)


def _dense(row: SparseRow) -> Array:
    whole = np.zeros(len(VOCABULARY), dtype=np.float32)
    whole[row.ids] = row.weights
    return whole


@pytest.mark.parametrize("text", TEXTS)
def test_the_weights_equal_the_papers_formula_in_plain_numpy(model: SparseModel, text: str) -> None:
    ids = model.tokenizer.ids(text)

    expected = splade(checkpoints.tensors(), ids)
    [row] = model.encode([text])

    assert (ids[0], ids[-1]) == (1, 2), "the special tokens are tokens like the others"
    assert 0 < len(row.ids) < len(VOCABULARY)
    np.testing.assert_allclose(_dense(row), expected, atol=1e-4)


def test_padding_adds_no_term(model: SparseModel) -> None:
    alone = _weights(model, [[1, 7, 2]], [[1, 1, 1]])

    padded = _weights(model, [[1, 7, 2, 9, 9]], [[1, 1, 1, 0, 0]])

    np.testing.assert_allclose(padded, alone, atol=1e-5)


def test_a_distilbert_is_the_same_model_without_token_types(tmp_path: Path) -> None:
    made = make(checkpoints.distilbert(tmp_path / "distil"), "tiny@2", tmp_path)
    without = checkpoints.tensors()
    without["embeddings.token_type_embeddings.weight"] *= 0
    distil = open_model(made, ALL)

    [row] = distil.encode(["b c d"])

    expected = splade(without, distil.tokenizer.ids("b c d"))
    np.testing.assert_allclose(_dense(row), expected, atol=1e-4)


def test_a_text_over_the_budget_is_cut(tmp_path: Path) -> None:
    made = make(checkpoints.bert(tmp_path / "bert"), "tiny@1", tmp_path, max_tokens=4)
    model = open_model(made, ALL)

    long, short = model.encode(["a b c d e f", "a b"])

    np.testing.assert_array_equal(long.ids, short.ids)


def test_the_same_checkpoint_gives_the_same_component(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "bert")

    one, other = (make(source, "tiny@1", tmp_path / name) for name in ("one", "other"))

    manifests = [(folder / "manifest.json").read_bytes() for folder in (one, other)]
    assert manifests[0] == manifests[1]


def test_a_changed_file_is_not_loaded(tmp_path: Path) -> None:
    folder = make(checkpoints.bert(tmp_path / "bert"), "tiny@1", tmp_path)
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"x")

    with pytest.raises(ArtifactCorrupt, match=r"model\.onnx"):
        open_model(folder, ALL)


def test_a_pickle_is_not_read_in_place_of_safetensors(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "bert")
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")

    with pytest.raises(ArtifactMissing, match=WEIGHTS):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"hidden_act": "relu"}, "activation relu"),
        ({"model_type": "gpt2"}, "BERT or DistilBERT"),
        ({"vocab_size": 12}, "33 word vectors"),
    ],
)
def test_a_checkpoint_that_is_not_computed_here_is_refused(
    tmp_path: Path, config: dict[str, object], said: str
) -> None:
    folder = checkpoints.bert(tmp_path / "bert", config=config)

    with pytest.raises(ArtifactCorrupt, match=said):
        read_checkpoint(folder)


def test_a_decoder_of_its_own_is_refused(tmp_path: Path) -> None:
    made = checkpoints.tensors()
    made["cls.predictions.decoder.weight"] = made["embeddings.word_embeddings.weight"] + 1

    with pytest.raises(ArtifactCorrupt, match="only tied ones"):
        read_checkpoint(checkpoints.bert(tmp_path / "bert", made=made))


def test_a_model_without_a_head_is_refused_by_the_tensor_it_lacks(tmp_path: Path) -> None:
    made = {
        name: tensor
        for name, tensor in checkpoints.tensors().items()
        if not name.startswith("cls.")
    }

    with pytest.raises(ArtifactCorrupt, match=r"cls\.predictions\.transform"):
        make(checkpoints.bert(tmp_path / "bert", made=made), "tiny@1", tmp_path)


def test_another_vocabulary_is_another_space(tmp_path: Path) -> None:
    one = checkpoints.bert(tmp_path / "one")
    other = checkpoints.bert(tmp_path / "other")
    text = (other / TOKENIZER).read_text().replace('"##a"', '"##z"')
    (other / TOKENIZER).write_text(text)

    assert read_checkpoint(one).vocabulary != read_checkpoint(other).vocabulary
    assert (one / CONFIG).read_bytes() == (other / CONFIG).read_bytes()


@given(
    st.lists(st.floats(0, 8, width=32), min_size=1, max_size=60),
    st.integers(1, 20),
    st.floats(0.5, 9),
    st.integers(0, 20),
)
def test_what_is_kept_are_the_heaviest_terms_within_the_cap(
    numbers: list[float], terms: int, cap: float, more: int
) -> None:
    weights = np.array(numbers, dtype=np.float32)
    pruning = Pruning(passage_terms=terms + more, query_terms=terms, cap=cap)

    row = pruning.kept(pruned(weights, pruning.most), "query")

    positive = int(np.count_nonzero(weights >= LEAST_WEIGHT))
    assert len(row.ids) == min(terms, positive)
    assert np.all(np.diff(row.ids.astype(np.int64)) > 0)
    np.testing.assert_array_equal(row.weights, np.minimum(weights[row.ids], np.float32(cap)))
    left_out = np.setdiff1d(np.arange(len(weights)), row.ids)
    if len(left_out) and len(row.ids):
        assert weights[left_out].max() <= weights[row.ids].min() or len(row.ids) == positive


def test_terms_beyond_the_cap_are_kept_by_the_weight_that_they_had() -> None:
    weights = np.zeros(1000, dtype=np.float32)
    weights[:10], weights[900:905] = 5.1, 9.0
    pruning = Pruning(passage_terms=15, query_terms=5, cap=5.0)

    row = pruning.kept(pruned(weights, pruning.most), "query")

    assert row.ids.tolist() == [900, 901, 902, 903, 904]
    assert row.weights.tolist() == [5.0] * 5


def test_a_query_is_cut_from_what_a_passage_keeps() -> None:
    row = pruned(np.array([0.5, 3.0, 0.0, 1.0, 2.0], dtype=np.float32), 4)

    short = Pruning(passage_terms=4, query_terms=2, cap=10.0).kept(row, "query")

    assert row.ids.tolist() == [0, 1, 3, 4]
    assert (short.ids.tolist(), short.weights.tolist()) == ([1, 4], [3.0, 2.0])
    assert (Pruning(128, 64).most, Pruning(8, 9).most) == (128, 9)
