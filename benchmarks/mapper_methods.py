"""What the mapping head is measured beside: each method maps held-out texts after seeing the rest."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from services.mapper import rules
from services.mapper.corpus import Corpus, Indices, Texts
from services.mapper.fit import Recipe, fit
from services.mapper.taxonomy import Taxonomy

Answers = tuple[Indices, NDArray[np.float64] | None]
"""Best label of each text, and a probability that it is right where the method has one."""

Method = Callable[[Corpus, Texts], dict[str, Answers]]

NEIGHBOURS = 5
HEAD, UNCALIBRATED = "shipped head", "shipped head, uncalibrated"


def majority(seen: Corpus, held: Texts) -> Answers:
    """Always the label with the most examples."""
    best = int(np.bincount(seen.examples.labels).argmax())
    return np.full(len(held.texts), best, dtype=np.int64), None


def rules_alone(taxonomy: Taxonomy, seen: Corpus, held: Texts) -> Answers:
    """The taxonomy's aliases, whole names only; ``OTHER.Unknown`` for the rest."""
    place = {name: index for index, name in enumerate(seen.labels)}
    found = [place[rules.apply(text, None, taxonomy).labels[0]] for text in held.texts]
    return np.array(found, dtype=np.int64), None


def nearest_description(seen: Corpus, held: Texts) -> Answers:
    """The label whose description is most similar (cosine)."""
    similar = held.vectors @ seen.descriptions.vectors.T
    return seen.descriptions.labels[similar.argmax(axis=1)], None


def nearest_examples(seen: Corpus, held: Texts) -> Answers:
    """A vote of the nearest examples; equal votes go to the nearer ones."""
    similar = held.vectors @ seen.examples.vectors.T
    nearest = np.argsort(-similar, axis=1)[:, :NEIGHBOURS]
    votes = np.zeros((len(held.texts), len(seen.labels)))
    for column in range(nearest.shape[1]):
        rows, columns = np.arange(len(votes)), nearest[:, column]
        votes[rows, seen.examples.labels[columns]] += 1 + 1e-3 * similar[rows, columns]
    return votes.argmax(axis=1), np.minimum(votes.max(axis=1) / NEIGHBOURS, 1.0)


def words(seen: Corpus, held: Texts) -> Answers:
    """TF-IDF of words and word pairs with logistic regression, over examples."""
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    model = LogisticRegression(C=30.0, max_iter=200)
    model.fit(vectorizer.fit_transform(seen.examples.texts), seen.examples.labels)
    return _best(model, vectorizer.transform(held.texts))


def embeddings(seen: Corpus, held: Texts) -> Answers:
    """The encoder's vectors with logistic regression, over examples."""
    model = LogisticRegression(C=10.0, max_iter=200)
    return _best(model.fit(seen.examples.vectors, seen.examples.labels), held.vectors)


def embeddings_and_taxonomy(seen: Corpus, held: Texts) -> Answers:
    """The same with the taxonomy's descriptions and aliases as further examples, like the head."""
    known = (seen.examples, seen.descriptions, seen.aliases)
    vectors = np.concatenate([part.vectors for part in known])
    model = LogisticRegression(C=10.0, max_iter=200)
    model.fit(vectors, np.concatenate([part.labels for part in known]))
    return _best(model, held.vectors)


def head(recipe: Recipe, seen: Corpus, held: Texts) -> dict[str, Answers]:
    """The shipped head, trained on what was seen: as it is, and before its calibration."""
    adapter = fit(seen, recipe).adapter
    probabilities = adapter.probabilities(held.vectors, held.texts)
    best, raw = probabilities.argmax(axis=1), probabilities.max(axis=1).astype(np.float64)
    sure = adapter.calibration.confidence(adapter.logits(held.vectors, held.texts))
    return {UNCALIBRATED: (best, raw), HEAD: (best, sure)}


def _best(model: LogisticRegression, inputs: object) -> Answers:
    probabilities = model.predict_proba(inputs)
    return model.classes_[probabilities.argmax(axis=1)], probabilities.max(axis=1)


def methods(taxonomy: Taxonomy, recipe: Recipe) -> list[Method]:
    """Return everything that is measured; each answers under one name or more."""
    plain: dict[str, Callable[[Corpus, Texts], Answers]] = {
        "majority class": majority,
        "rules alone": partial(rules_alone, taxonomy),
        "TF-IDF + LR": words,
        f"{NEIGHBOURS} nearest examples": nearest_examples,
        "nearest description": nearest_description,
        "embeddings + LR": embeddings,
        "embeddings, descriptions, aliases + LR": embeddings_and_taxonomy,
    }
    return [*(partial(_named, name, each) for name, each in plain.items()), partial(head, recipe)]


def _named(
    name: str, method: Callable[[Corpus, Texts], Answers], seen: Corpus, held: Texts
) -> dict[str, Answers]:
    return {name: method(seen, held)}
