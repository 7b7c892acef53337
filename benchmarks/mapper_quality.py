"""How well texts are mapped that training never saw: ``python -m benchmarks.mapper_quality``.

Two taxonomies. AI safety: cross-validation over the shipped free-text examples, paraphrases of one
family never split. MITRE ATT&CK, where its data is: sentences of actors of whom training saw nothing.
The spread of every line is its 95 % interval, families or actors resampled.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import arguments, mapper_attack, report
from benchmarks import mapper_measures as measures
from benchmarks.encoder_quality import BUILT, encode
from benchmarks.figure import AT_LEAST, AT_MOST, Aim, Figure, percentile
from benchmarks.mapper_attack import Task
from benchmarks.mapper_measures import Held, figure, lead
from benchmarks.mapper_methods import HEAD, UNCALIBRATED, Head, Method, baselines
from services.encoder.build import build_component
from services.encoder.component import open_component
from services.encoder.shipped import DEFAULT
from services.mapper.definitions.taxonomy import Taxonomy, load_taxonomy
from services.mapper.settings import MapperSettings
from services.mapper.train import EXAMPLES
from services.mapper.training.corpus import Corpus, assemble, folds, wanted_texts
from services.mapper.training.descent import Training
from services.mapper.training.examples import load_examples, training_set
from services.mapper.training.fit import Recipe
from trimtab.contracts.mapping import FREE_TEXT

_FOLDS = 5
_QUICK = Recipe(Training(hidden=16, epochs=2), buckets=512, folds=2)
_TIMED = 500


def load_safety() -> tuple[Taxonomy, Corpus, NDArray[np.bool_]]:
    """Return the shipped corpus with the default encoder's vectors, and which rows are free text."""
    taxonomy = load_taxonomy(MapperSettings().taxonomy)
    examples = training_set(load_examples(EXAMPLES, taxonomy))
    backend = open_component(build_component(DEFAULT, Path(BUILT), lambda line: None))
    vectors = encode(backend, wanted_texts(taxonomy, examples), DEFAULT)
    free = np.array([example.detector == FREE_TEXT for example in examples])
    return taxonomy, assemble(taxonomy, examples, vectors), free


def crossed(
    methods: Sequence[Method], corpus: Corpus, free: NDArray[np.bool_], seeds: Sequence[int]
) -> dict[str, Held]:
    """Answer every free text once per seed, each time without its family in training."""
    parts: dict[str, list[Held]] = {}
    for seed in seeds:
        for number, (seen, held) in enumerate(folds(corpus.groups, _FOLDS, seed), start=1):
            asked = held[free[held]]
            _say(f"ai-safety: split {number} of {_FOLDS}, seed {seed}")
            for method in methods:
                answers = method(corpus.pick(seen), corpus.examples.pick(asked))
                for name, (best, sure) in answers.items():
                    found = Held(best, corpus.examples.labels[asked], corpus.groups[asked], sure)
                    parts.setdefault(name, []).append(found)
    return {name: _joined(each) for name, each in parts.items()}


def apart(methods: Sequence[Method], task: Task) -> dict[str, Held]:
    """Answer the sentences of the actors that are asked, taught by all others."""
    corpus = task.corpus
    seen, asked = corpus.pick(task.taught), corpus.examples.pick(task.asked)
    _, actors = np.unique([task.actors[row] for row in task.asked], return_inverse=True)
    found: dict[str, Held] = {}
    for method in methods:
        for name, (best, sure) in method(seen, asked).items():
            found[name] = Held(best, asked.labels, actors.astype(np.int64), sure)
            _say(f"attack: {name} {measures.top1(found[name]):.1f} %")
    return found


def _joined(parts: Sequence[Held]) -> Held:
    sure = [part.confidence for part in parts if part.confidence is not None]
    return Held(
        np.concatenate([part.best for part in parts]),
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.groups for part in parts]),
        np.concatenate(sure) if sure else None,
    )


def safety_figures(held: Mapping[str, Held], threshold: float) -> list[Figure]:
    """Return the lines of the AI-safety taxonomy."""
    found = []
    for name, each in held.items():
        found.append(figure(f"ai-safety, {name}: top-1", each, measures.top1))
        found.append(figure(f"ai-safety, {name}: macro-F1", each, measures.macro_f1))
        if each.confidence is not None:
            found.append(figure(f"ai-safety, {name}: calibration error (ECE)", each, measures.ece))
    best = held[HEAD]
    sure = measures.sure(best) >= threshold
    kept = Held(best.best[sure], best.truth[sure], best.groups[sure], measures.sure(best)[sure])
    found.append(
        figure(f"ai-safety, {HEAD}: right among confidence >= {threshold}", kept, measures.top1)
    )
    return found + _leads("ai-safety", held, None)


def attack_figures(task: Task, held: Mapping[str, Held]) -> list[Figure]:
    """Return the lines of MITRE ATT&CK."""
    taxonomy, labels = task.taxonomy, task.corpus.labels
    names = list(taxonomy.tactics)
    serves = np.array([[t in taxonomy.labels[label].tactics for t in names] for label in labels])
    shared = (serves.astype(np.float32) @ serves.T.astype(np.float32)) > 0

    def shares_tactic(each: Held) -> float:
        return 100 * float(shared[each.first, each.truth].mean())

    found = []
    for name, each in held.items():
        ours = name == HEAD
        found.append(
            _attack(name, "top-1", each, measures.top1, Aim(AT_LEAST, 75.0) if ours else None)
        )
        found.append(_attack(name, "top-3", each, measures.top3))
        found.append(_attack(name, "macro-F1", each, measures.macro_f1))
        found.append(_attack(name, "tactic accuracy", each, shares_tactic))
        if each.confidence is not None:
            aim = Aim(AT_MOST, 2.0) if ours else None
            found.append(_attack(name, "calibration error (ECE)", each, measures.ece, aim))
            found.append(_attack(name, "top-1 of the surest 90 %", each, measures.covered))
    return found + _leads("attack", held, Aim(AT_LEAST, 0.0))


def _attack(
    name: str, what: str, held: Held, measure: measures.Measure, aim: Aim | None = None
) -> Figure:
    return figure(f"attack, {name}: {what}", held, measure, aim=aim)


def _leads(task: str, held: Mapping[str, Held], aim: Aim | None) -> list[Figure]:
    rivals = [name for name in held if name not in (HEAD, UNCALIBRATED)]
    return [lead(held[HEAD], held[name], (f"{task}, {HEAD}", name), aim) for name in rivals]


def speed(task: Task, head: Head) -> list[Figure]:
    """Return how long training took and how long one text takes, in this process on one thread."""
    if head.adapter is None:
        raise ValueError("the adapter has not been trained yet")
    asked = task.corpus.examples.pick(task.asked[:_TIMED])
    took = []
    for row, text in enumerate(asked.texts):
        started = time.perf_counter()
        head.adapter.answer(asked.vectors[row : row + 1], [text])
        took.append(1000 * (time.perf_counter() - started))
    return [
        _plain("attack, training, vectors at hand", "s", head.trained_s, 1),
        _plain("attack, one text in process: p50", "ms", percentile(took, 0.5), len(took)),
        _plain("attack, one text in process: p95", "ms", percentile(took, 0.95), len(took)),
    ]


def _plain(name: str, unit: str, value: float, n: int) -> Figure:
    return Figure(name=name, unit=unit, value=value, low=value, high=value, rounds=1, n=n)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Print the table."""
    given = arguments.read("mapper_quality", __doc__, rounds=1, requests=1)
    facts = report.begin("mapper_quality")
    recipe = _QUICK if given.quick else Recipe()
    found: list[Figure] = []
    notes = []
    try:
        task = mapper_attack.load(quick=given.quick)
        head = Head(recipe)
        methods: list[Method] = [head, *baselines(task.taxonomy)]
        found += attack_figures(task, apart(methods, task)) + speed(task, head)
        notes.append(
            f"attack: {len(task.asked)} sentences of {len({task.actors[r] for r in task.asked})} actors, "
            f"taught by {len(task.taught)} sentences of the other actors; the actors whose SHA-256 is 0 "
            f"modulo 5 are asked. {len(task.corpus.labels)} labels of {task.taxonomy.reference}. A tactic "
            "is right when the answer serves one that the right technique serves."
        )
    except FileNotFoundError as error:
        notes.append(f"attack was not measured: {error}.")
    taxonomy, corpus, free = load_safety()
    held = crossed([*baselines(taxonomy), Head(recipe)], corpus, free, range(given.rounds))
    found += safety_figures(held, MapperSettings().confidence_threshold)
    notes += [
        f"ai-safety: {int(free.sum())} free texts in {len(np.unique(corpus.groups[free]))} paraphrase "
        f"families, {len(corpus.labels)} labels of {taxonomy.reference}; {_FOLDS} folds of whole "
        "families. Texts and labels were written by the same authors; others' will be harder.",
        "Resampling clusters inflates a calibration error: its interval lies high.",
    ]
    done = report.Report(
        benchmark="mapper_quality", command=given.command, machine=facts, figures=found, notes=notes
    )
    report.show(done, given.json)


if __name__ == "__main__":
    main()
