"""How well texts are mapped that training never saw: ``python -m benchmarks.mapper_quality``.

Cross-validation over the shipped free-text examples; paraphrases of one family are never split. The
spread of every line is its 95 % interval, families resampled. ``--rounds`` repeats with other splits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from benchmarks import arguments, report
from benchmarks.encoder_quality import BUILT, encode
from benchmarks.figure import Figure
from benchmarks.mapper_methods import HEAD, UNCALIBRATED, Method, methods
from services.encoder.build import build_component
from services.encoder.component import open_component
from services.encoder.shipped import DEFAULT
from services.mapper.calibration import calibration_error
from services.mapper.corpus import Corpus, Indices, assemble, folds, wanted_texts
from services.mapper.examples import load_examples, training_set
from services.mapper.fit import Recipe
from services.mapper.settings import MapperSettings
from services.mapper.taxonomy import Taxonomy, load_taxonomy
from services.mapper.train import EXAMPLES
from trimtab.contracts.mapping import FREE_TEXT

_FOLDS = 5
_RESAMPLES = 1000

Floats = NDArray[np.float64]
Measure = Callable[["Held"], float]


@dataclass(frozen=True, slots=True)
class Held:
    """Answers of one method to texts that it did not see."""

    best: Indices
    """Label index given."""
    truth: Indices
    """Label index wanted."""
    groups: Indices
    """Paraphrase family."""
    confidence: Floats | None
    """Probability that the answer is right, where the method has one."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each answer was."""
        return np.asarray(self.best == self.truth)

    def pick(self, rows: Indices) -> "Held":
        """Return some of the answers."""
        confidence = None if self.confidence is None else self.confidence[rows]
        return Held(self.best[rows], self.truth[rows], self.groups[rows], confidence)


def load() -> tuple[Taxonomy, Corpus, NDArray[np.bool_]]:
    """Return the shipped corpus with the default encoder's vectors, and which rows are free text."""
    settings = MapperSettings()
    taxonomy = load_taxonomy(settings.taxonomy)
    examples = training_set(load_examples(EXAMPLES, taxonomy))
    backend = open_component(build_component(DEFAULT, Path(BUILT), lambda line: None))
    vectors = encode(backend, wanted_texts(taxonomy, examples), DEFAULT)
    free = np.array([example.detector == FREE_TEXT for example in examples])
    return taxonomy, assemble(taxonomy, examples, vectors), free


def held_out(
    method: Method, corpus: Corpus, free: NDArray[np.bool_], seeds: Sequence[int]
) -> dict[str, Held]:
    """Answer every free text once per seed, each time without its family in training."""
    parts: dict[str, list[Held]] = {}
    for seed in seeds:
        for seen, held in folds(corpus.groups, _FOLDS, seed):
            asked = held[free[held]]
            answers = method(corpus.pick(seen), corpus.examples.pick(asked))
            for name, (best, sure) in answers.items():
                found = Held(best, corpus.examples.labels[asked], corpus.groups[asked], sure)
                parts.setdefault(name, []).append(found)
    return {name: _joined(each) for name, each in parts.items()}


def _joined(parts: Sequence[Held]) -> Held:
    sure = [part.confidence for part in parts if part.confidence is not None]
    return Held(
        np.concatenate([part.best for part in parts]),
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.groups for part in parts]),
        np.concatenate(sure) if sure else None,
    )


def figures(name: str, held: Held, threshold: float) -> list[Figure]:
    """Return the lines of one method."""
    found = [
        _figure(f"{name}: top-1", held, lambda h: 100 * float(h.right.mean())),
        _figure(f"{name}: macro-F1", held, _macro_f1),
    ]
    if held.confidence is not None:
        found.append(_figure(f"{name}: calibration error (ECE, 10 bins)", held, _ece))
    if name == HEAD:
        found += [
            _figure(
                f"{name}: right among those of confidence >= {threshold}",
                held,
                lambda h: 100 * float(h.right[_sure(h, threshold)].mean()),
            ),
            _figure(
                f"{name}: share of confidence >= {threshold}",
                held,
                lambda h: 100 * float(_sure(h, threshold).mean()),
            ),
        ]
    return found


def lead(best: Held, other: Held, name: str) -> Figure:
    """Return how far the head is ahead of a method, paired."""
    paired = Held(np.stack([best.best, other.best], 1), best.truth, best.groups, None)

    def gain(held: Held) -> float:
        right = held.best == held.truth[:, np.newaxis]
        return 100 * float(right[:, 0].mean() - right[:, 1].mean())

    return _figure(f"{HEAD} ahead of {name}: top-1", paired, gain, unit="pp")


def _figure(name: str, held: Held, measure: Measure, unit: str = "%") -> Figure:
    _, family = np.unique(held.groups, return_inverse=True)
    members = [np.flatnonzero(family == k) for k in range(family.max() + 1)]
    rng = np.random.default_rng(0)
    draws = [
        measure(held.pick(np.concatenate([members[k] for k in drawn])))
        for drawn in rng.integers(0, len(members), (_RESAMPLES, len(members)))
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    return Figure(
        name=name,
        unit=unit,
        value=measure(held),
        low=float(low),
        high=float(high),
        rounds=1,
        n=len(held.truth),
    )


def _macro_f1(held: Held) -> float:
    return 100 * float(f1_score(held.truth, held.best, average="macro", zero_division=0))


def _ece(held: Held) -> float:
    return 100 * calibration_error(_confidence(held), held.right)


def _sure(held: Held, threshold: float) -> NDArray[np.bool_]:
    return np.asarray(_confidence(held) >= threshold)


def _confidence(held: Held) -> Floats:
    if held.confidence is None:
        raise ValueError("this method gives no confidence")
    return held.confidence


def main() -> None:
    """Print the table."""
    given = arguments.read("mapper_quality", __doc__, rounds=1, requests=1)
    facts = report.begin("mapper_quality")
    taxonomy, corpus, free = load()
    recipe = Recipe(buckets=512, folds=2) if given.quick else Recipe()
    held: dict[str, Held] = {}
    for method in methods(taxonomy, recipe):
        held |= held_out(method, corpus, free, range(given.rounds))
    threshold = MapperSettings().confidence_threshold
    found = [line for name, answers in held.items() for line in figures(name, answers, threshold)]
    rivals = [name for name in held if name not in (HEAD, UNCALIBRATED)]
    found += [lead(held[HEAD], held[name], name) for name in rivals]
    notes = [
        f"{int(free.sum())} free texts in {len(np.unique(corpus.groups[free]))} paraphrase families, "
        f"{len(corpus.labels)} labels of {taxonomy.reference}; {_FOLDS} folds of whole families.",
        "Resampling families inflates a calibration error: its interval lies high.",
        "Texts and labels were written by the same authors; texts of other authors will be harder.",
    ]
    done = report.Report(
        benchmark="mapper_quality", command=given.command, machine=facts, figures=found, notes=notes
    )
    report.show(done, given.json)


if __name__ == "__main__":
    main()
