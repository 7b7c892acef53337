"""Subjects stay in one table, never share a token by accident, and are what NATS accepts."""

import inspect
import re
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from trimtab.contracts import subjects
from trimtab.contracts.component import subject_token

_COMPONENTS = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,12}@[A-Za-z0-9.]{1,6}", fullmatch=True)
_PUBLISHABLE = re.compile(r"^[A-Za-z0-9_=$-]+(\.[A-Za-z0-9_=$-]+)*$")
_STAGES = (subjects.encode, subjects.retrieve, subjects.score, subjects.rerank, subjects.mapping)
_ROW = re.compile(r"``([^`]+)``")
_ARGUMENTS = {
    "component": "x@1",
    "service": "encoder",
    "instance": "e1",
    "collection": "stdlib",
    "key": "ab12",
    "kind": "map",
    "priority": "high",
}
_TOKENS = {**_ARGUMENTS, "component": "x-1"}


def test_subject_spellings_are_a_public_contract() -> None:
    assert subjects.encode("minilm@1") == "trimtab.v1.encode.minilm-1"
    assert subjects.retrieve("hybrid@2") == "trimtab.v1.retrieve.hybrid-2"
    assert subjects.score("hybrid@2") == "trimtab.v1.score.hybrid-2"
    assert subjects.vectors("hybrid@2") == "trimtab.v1.vectors.hybrid-2"
    assert subjects.rerank("mlp-full@4") == "trimtab.v1.rerank.mlp-full-4"
    assert subjects.mapping("head@1.2") == "trimtab.v1.map.head-1_2"
    assert subjects.sample("encoder", "e1") == "trimtab.evt.sample.encoder.e1"
    assert subjects.document("stdlib", "ab12") == "trimtab.doc.stdlib.ab12"
    assert subjects.documents_of("stdlib") == "trimtab.doc.stdlib.*"
    assert subjects.collection_record("stdlib") == "trimtab.doc.stdlib"
    assert subjects.passages("hybrid@2") == "trimtab.v1.passages.hybrid-2"
    assert subjects.explanation("ab12") == "trimtab.explain.ab12"
    assert subjects.job("map", "high", "ab12") == "trimtab.job.map.high.ab12"
    assert subjects.result("ab12") == "trimtab.result.ab12"
    assert subjects.dead_letter("ab12") == "trimtab.dead.letter.ab12"
    assert subjects.dead_request("ab12") == "trimtab.dead.request.ab12"


@given(one=_COMPONENTS, other=_COMPONENTS)
@example(one="a.b@1", other="a_b@1")
@example(one="a@1.2", other="a-1@2")
@example(one="a-b@c", other="a@b.c")
def test_two_components_never_share_a_subject_token(one: str, other: str) -> None:
    assume(one != other)

    assert subject_token(one) != subject_token(other)


@given(component=_COMPONENTS)
def test_a_component_is_always_one_publishable_token(component: str) -> None:
    assert _PUBLISHABLE.fullmatch(subject_token(component))
    assert "." not in subject_token(component)


@pytest.mark.parametrize("stage", _STAGES, ids=lambda f: f.__name__)
@given(component=_COMPONENTS)
def test_every_stage_subject_has_four_tokens(stage: Callable[[str], str], component: str) -> None:
    assert stage(component).count(".") == 3


def test_two_stages_never_share_a_subject() -> None:
    assert len({stage("x@1") for stage in _STAGES}) == len(_STAGES)


def _table() -> set[str]:
    """Return every subject of the docstring's table, its placeholders filled in."""
    doc = inspect.getdoc(subjects) or ""
    cells = [line.split(" | ")[0] for line in doc.splitlines() if line.startswith("| ``")]
    rows = {row for cell in cells for row in _ROW.findall(cell)}
    return {
        re.sub(r"<(\w+)>", lambda found: _TOKENS[found[1]], row) for row in rows if "[" not in row
    }


def _made() -> set[str]:
    """Return every subject that the module's constants and functions spell."""
    made = {
        str(v) for n, v in vars(subjects).items() if n.isupper() and str(v).startswith("trimtab.")
    }
    for _, maker in inspect.getmembers(subjects, inspect.isfunction):
        if maker is not subject_token:
            made.add(maker(*[_ARGUMENTS[name] for name in inspect.signature(maker).parameters]))
    return made


def _matches(pattern: str, subject: str) -> bool:
    """Whether a subject is matched by a pattern of NATS: ``*`` is one token, a final ``>`` all others."""
    expression = re.escape(pattern).replace(r"\*", "[^.]+").replace(">", ".+")
    return re.fullmatch(expression, subject) is not None


def test_the_docstring_table_lists_every_subject_the_module_can_spell() -> None:
    table = _table()

    assert {s for s in _made() if not any(_matches(s, row) for row in table)} == set()


def test_the_docstring_table_lists_no_subject_that_nothing_spells() -> None:
    made = _made()

    assert {row for row in _table() if not any(_matches(s, row) for s in made)} == set()
