"""Whatever is dropped, repeated or reordered on the way, no worker goes back, and a kill gets through."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.control.documents import controls, kill, state
from trimtab.contracts.control import Switch
from trimtab.control.applying import View, heard, merge
from trimtab.control.effective import Controls

REVISIONS = st.tuples(st.integers(1, 30), st.integers(0, 30))


def offered(revisions: tuple[int, int], epoch: int = 0) -> Controls:
    state_revision, lane_revision = revisions
    desired = msgspec.structs.replace(state(), operation=f"s-{state_revision}", epoch=epoch)
    lane = [kill(Switch.RERANKER, "off")] if lane_revision % 2 else []
    return controls(desired, *lane, revision=state_revision, lane_revision=lane_revision)


@given(st.lists(REVISIONS, min_size=1))
def test_each_document_ends_at_the_newest_revision_ever_offered(
    deliveries: list[tuple[int, int]],
) -> None:
    view = View()

    for delivery in deliveries:
        before = view
        view, _ = merge(view, offered(delivery))
        if before.controls is not None and view.controls is not None:
            assert view.controls.state_revision >= before.controls.state_revision
            assert view.controls.lane_revision >= before.controls.lane_revision

    assert view.controls is not None
    assert view.controls.state_revision == max(state for state, _ in deliveries)
    assert view.controls.lane_revision == max(lane for _, lane in deliveries)


@given(st.lists(REVISIONS, min_size=1))
def test_a_repeated_delivery_changes_nothing(deliveries: list[tuple[int, int]]) -> None:
    view = View()
    for delivery in deliveries:
        view, _ = merge(view, offered(delivery))

    for delivery in deliveries:
        again, refusal = merge(view, offered(delivery))
        assert again is view
        assert refusal is None


def test_a_state_written_under_an_older_lease_is_refused_with_the_reason() -> None:
    view, _ = merge(View(), offered((5, 0), epoch=20))

    after, refusal = merge(view, offered((6, 0), epoch=10))

    assert after is view
    assert refusal is not None
    assert "epoch 10" in refusal.why


def test_a_heartbeat_alone_fences_an_older_lease_out() -> None:
    view = heard(View(controls=offered((5, 0), epoch=10), epoch=10), 20)

    _, refusal = merge(view, offered((6, 0), epoch=10))

    assert refusal is not None


def test_a_kill_gets_through_beside_a_state_that_is_refused() -> None:
    view, _ = merge(View(), offered((5, 0), epoch=20))

    after, refusal = merge(view, offered((6, 7), epoch=10))

    assert refusal is not None
    assert after.controls is not None
    assert (after.controls.state_revision, after.controls.lane_revision) == (5, 7)


def test_an_operators_own_write_passes_every_epoch() -> None:
    view, _ = merge(View(), offered((5, 0), epoch=20))

    after, refusal = merge(view, offered((6, 0), epoch=0))

    assert refusal is None
    assert after.controls is not None
    assert after.controls.state_revision == 6
