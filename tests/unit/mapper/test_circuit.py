from services.mapper.engines.circuit import Circuit


def broken(failures: int = 3, rest_s: float = 10.0) -> Circuit:
    circuit = Circuit(failures, rest_s)
    for _ in range(failures):
        assert circuit.admit(0.0)
        circuit.failed(0.0)
    return circuit


def test_failures_in_a_row_open_it_and_nothing_less() -> None:
    circuit = Circuit(failures=3)
    for _ in range(10):
        circuit.failed(0.0)
        circuit.failed(0.0)
        circuit.succeeded()

    assert circuit.closed
    assert circuit.admit(0.0)


def test_an_open_one_admits_nobody_until_it_has_rested() -> None:
    circuit = broken()

    assert not circuit.closed
    assert not circuit.admit(9.99)
    assert circuit.admit(10.0)


def test_one_probe_at_a_time() -> None:
    circuit = broken()

    assert [circuit.admit(10.0) for _ in range(3)] == [True, False, False]


def test_a_failed_probe_opens_it_for_another_while() -> None:
    circuit = broken()
    circuit.admit(10.0)
    circuit.failed(11.0)

    assert not circuit.admit(20.9)
    assert circuit.admit(21.0)


def test_a_good_probe_closes_it_and_the_count_begins_anew() -> None:
    circuit = broken()
    circuit.admit(10.0)
    circuit.succeeded()
    circuit.failed(11.0)

    assert circuit.closed
    assert circuit.admit(11.0)


def test_a_probe_that_went_away_leaves_its_place_to_the_next_request() -> None:
    circuit = broken()
    circuit.admit(10.0)
    circuit.dropped()

    assert circuit.admit(10.0)
