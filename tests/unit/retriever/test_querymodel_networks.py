"""The two networks are those of the runbook: sizes, what they can see, and gradients that are the loss's."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.retriever.querymodel.amn import Amn, AmnSize
from services.retriever.querymodel.component import Network, Size
from services.retriever.querymodel.gru import GruSize
from services.retriever.querymodel.layers import draw, gelu, layer_norm, norm_weights, softmax
from services.retriever.querymodel.model import unit

SMALL: list[Size] = [
    AmnSize(dimension=6, d_model=4, hidden=5),
    GruSize(dimension=6, hidden=5, blocks=2),
]
IDS = ["amn_v0", "gru_v0"]


def network(size: Size, seed: int = 0, dtype: type = np.float64) -> Network:
    drawn = draw(size.weights(), np.random.default_rng(seed))
    return size.network({name: each.astype(dtype) for name, each in drawn.items()})


def windows(size: Size, count: int = 3, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((count, 5, size.dimension))


@pytest.mark.parametrize(
    ("size", "parameters"),
    [(AmnSize(dimension=768), 1_510_912), (GruSize(dimension=768), 7_095_552)],
    ids=IDS,
)
def test_the_parameters_are_as_many_as_the_runbooks_models_have(
    size: Size, parameters: int
) -> None:
    assert sum(int(np.prod(each.shape)) for each in size.weights().values()) == parameters


@pytest.mark.parametrize("size", SMALL, ids=IDS)
def test_every_gradient_is_that_of_finite_differences(size: Size) -> None:
    made, x = network(size), windows(size)
    target = np.random.default_rng(2).standard_normal((3, size.dimension))

    def loss() -> float:
        return float(np.square(made.forward(x)[0] - target).mean())

    raw, backward = made.forward(x)
    gradients = backward(2.0 * (raw - target) / raw.size)

    assert set(gradients) == set(made.parameters)
    for name, values in made.parameters.items():
        for at in np.ndindex(values.shape):
            kept = values[at]
            values[at] = kept + 1e-5
            above = loss()
            values[at] = kept - 1e-5
            below = loss()
            values[at] = kept
            assert gradients[name][at] == pytest.approx((above - below) / 2e-5, abs=2e-6), name


@pytest.mark.parametrize("size", SMALL, ids=IDS)
def test_a_window_is_answered_alike_alone_and_in_a_batch(size: Size) -> None:
    made, x = network(size, dtype=np.float32), windows(size, 7).astype(np.float32)

    together, _ = made.forward(x)

    assert together.dtype == np.float32
    for number in range(7):
        alone, _ = made.forward(x[number : number + 1])
        assert alone[0] == pytest.approx(together[number], abs=1e-6)


def test_the_order_of_the_window_means_nothing_to_amn_and_something_to_gru() -> None:
    for size, blind in zip(SMALL, (True, False), strict=True):
        made, x = network(size), windows(size)
        forwards, backwards = made.forward(x)[0], made.forward(x[:, ::-1])[0]
        assert np.allclose(forwards, backwards) == blind


def test_a_gru_state_knows_nothing_of_what_comes_later() -> None:
    size = GruSize(dimension=6, hidden=5, blocks=2)
    made, x = network(size), windows(size)
    longer = np.concatenate([x, windows(size, seed=9)[:, :2]], axis=1)

    of_first_three = made.forward(x[:, :3])[0]
    assert np.allclose(of_first_three, made.forward(longer[:, :3])[0])
    assert not np.allclose(made.forward(x)[0], made.forward(longer)[0])


def test_amn_is_the_mean_plus_a_residual_of_mean_and_attention() -> None:
    """Written out once more, slowly, from the definition."""
    size = AmnSize(dimension=6, d_model=4, hidden=5)
    made, x = network(size), windows(size, 1)[0]
    p = made.parameters
    baseline = x.mean(axis=0)
    query = baseline @ p["query.weight"] + p["query.bias"]
    keys = x @ p["keys.weight"] + p["keys.bias"]
    attention = softmax(np.array([key @ query for key in keys]) / np.sqrt(4))
    flow = np.concatenate([baseline, attention @ x])
    for layer in ("1", "2"):
        flow = gelu(flow @ p[f"mlp{layer}.weight"] + p[f"mlp{layer}.bias"])[0]
        flow = (flow - flow.mean()) / np.sqrt(flow.var() + 1e-5)
    expected = baseline + flow @ p["mlp3.weight"] + p["mlp3.bias"]

    assert isinstance(made, Amn)
    assert made.forward(x[np.newaxis])[0][0] == pytest.approx(expected, abs=1e-9)


def test_one_gru_block_is_the_cell_of_its_definition() -> None:
    size = GruSize(dimension=6, hidden=5, blocks=1)
    made, x = network(size), windows(size, 1)[0]
    p = made.parameters

    def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1.0 / (1.0 + np.exp(-values))

    state, given = np.zeros(5), np.zeros(5)
    for row in x:
        given = row @ p["input.weight"] + p["input.bias"]
        gates = np.split(given @ p["block0.gates.weight"] + p["block0.gates.bias"], 3)
        kept = np.split(state @ p["block0.state.weight"] + p["block0.state.bias"], 3)
        reset, update = sigmoid(gates[0] + kept[0]), sigmoid(gates[1] + kept[1])
        candidate = np.tanh(gates[2] + reset * kept[2])
        state = (1.0 - update) * candidate + update * state
    summed = given + state
    normed = (summed - summed.mean()) / np.sqrt(summed.var() + 1e-5)
    expected = normed @ p["output.weight"] + p["output.bias"]

    assert made.forward(x[np.newaxis])[0][0] == pytest.approx(expected, abs=1e-9)


def test_gelu_is_the_exact_one_within_single_precision() -> None:
    from math import erf

    x = np.linspace(-6, 6, 241)

    values, slopes = gelu(x)

    exact = np.array([0.5 * each * (1 + erf(each / np.sqrt(2))) for each in x])
    assert values == pytest.approx(exact, abs=1e-6)
    assert slopes[1:-1] == pytest.approx((exact[2:] - exact[:-2]) / 0.1, abs=1e-3)
    assert np.isfinite(gelu(np.array([-1e4, 1e4], dtype=np.float32))[0]).all()


def test_a_layer_norm_is_blind_to_shift_and_scale() -> None:
    p = draw(norm_weights("n", 8), np.random.default_rng(0))
    x = np.random.default_rng(3).standard_normal((4, 8))

    assert layer_norm(p, "n", x)[0] == pytest.approx(layer_norm(p, "n", 7 * x + 3)[0], abs=1e-4)


def test_what_has_no_length_is_not_made_a_unit_vector() -> None:
    assert np.isnan(unit(np.zeros((2, 4), dtype=np.float32))).all()
    assert np.linalg.norm(unit(np.full((1, 4), 1e-5, dtype=np.float32))) == pytest.approx(1.0)
