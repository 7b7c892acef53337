"""What one try of a job means, and what a dead letter of one says."""

import pytest

from services.gateway.jobs.deadletter import given_up, unreadable
from services.gateway.jobs.verdicts import Next, Patience
from trimtab.contracts import errors
from trimtab.contracts.jobs import Job, JobKind
from trimtab.contracts.message import encode
from trimtab.contracts.pipeline import MapCall

PATIENCE = Patience(tries=3, retry_s=1.0)
TEXT = "melanochroa"


@pytest.mark.parametrize(
    ("error", "first", "last"),
    [
        (errors.UnknownTaxonomy("x"), Next.END, Next.END),
        (errors.InvalidText(0, "is blank"), Next.END, Next.END),
        (errors.MessageTooLarge(2, 1), Next.END, Next.END),
        (errors.RawContent("d", "characters", 3000, 2047), Next.END, Next.END),
        (errors.Disabled("the pipeline"), Next.WAIT, Next.WAIT),
        (errors.NoWorkers("a.subject"), Next.RETRY, Next.GIVE_UP),
        (errors.Overloaded("mapper", 64), Next.RETRY, Next.GIVE_UP),
        (errors.DeadlineExceeded("map", -1), Next.RETRY, Next.GIVE_UP),
        (errors.ModelFailed("a model"), Next.RETRY, Next.GIVE_UP),
        (errors.InternalError(), Next.RETRY, Next.GIVE_UP),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_may_end_otherwise_is_tried_again(
    error: errors.TrimtabError, first: Next, last: Next
) -> None:
    assert PATIENCE.after(error, 1) is first
    assert PATIENCE.after(error, 3) is last


def test_an_error_of_a_stage_is_judged_as_the_stage_said_it() -> None:
    relayed = errors.RemoteError(errors.UnknownTaxonomy("x").reply())

    assert PATIENCE.after(relayed, 1) is Next.END


def test_waits_double_up_to_a_minute() -> None:
    assert [PATIENCE.delay_s(attempt) for attempt in (1, 2, 3, 4)] == [1.0, 2.0, 4.0, 8.0]
    assert PATIENCE.delay_s(1000) == 60.0


def test_a_letter_holds_ids_lengths_and_codes_and_no_text() -> None:
    request = encode(MapCall(output=TEXT, detector="text"))
    job = Job(
        id="j-1",
        kind=JobKind.MAP,
        tenant="the-tenant",
        submitted_at=1.0,
        deadline_at=2.0,
        request=request,
    )
    letter = encode(given_up("ab" * 16, job, errors.UnknownTaxonomy(TEXT), 3))

    assert TEXT.encode() not in letter
    assert b"the-tenant" not in letter
    assert b"j-1" in letter


def test_the_letter_of_unreadable_bytes_names_their_length_and_hash_alone() -> None:
    error = errors.InvalidMessage("Job", "a problem")
    letter = unreadable("trimtab.job.nobodys.normal.ab", TEXT.encode(), error)

    assert letter.size == len(TEXT)
    assert letter.kind is JobKind.MAP
    assert TEXT.encode() not in encode(letter)
