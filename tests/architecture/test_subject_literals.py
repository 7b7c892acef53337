"""No file but ``contracts/subjects.py`` spells a subject, a stream or a bucket."""

import re

from tests.architecture.tree import ROOT, literals, sources
from trimtab.contracts import subjects

HOME = ROOT / "libs" / "trimtab" / "contracts" / "subjects.py"
_SPELLED = re.compile(r"^(trimtab\.(v\d|evt|op|doc|ctl|job)\b|\$(SRV|KV|O)\b|_INBOX)")
_NAMES = {subjects.CONTROL_BUCKET, subjects.ARTIFACT_BUCKET, subjects.DOCS_STREAM}


def test_only_the_subject_table_spells_a_subject() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} {value!r}"
        for path in sources("libs", "services", "scripts", "benchmarks")
        if path != HOME
        for line, value in literals(path)
        if _SPELLED.search(value) or value in _NAMES
    ]

    assert wrong == []


def test_the_rule_sees_the_subjects_of_the_table_itself() -> None:
    assert len([value for _, value in literals(HOME) if _SPELLED.search(value)]) >= 10
