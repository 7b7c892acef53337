import numpy as np
import pytest

from services.mapper.model.lexical import Lexicon
from services.mapper.training.bags import Bags, terms

pytest.importorskip("scipy", reason="training needs the extra trimtab[train]")

TEXTS = [
    "dumps credentials with mimikatz",
    "mimikatz reads credentials",
    "sends mail with a link",
    "mail with an attachment",
]
TARGETS = np.array([0, 0, 1, 1])


def test_training_weighs_a_text_as_serving_does() -> None:
    bags = Bags.of(TEXTS)
    lexicon = bags.lexicon(TARGETS, 2, 1000)

    weighted = bags.weighted(lexicon).toarray()

    for row, text in enumerate(TEXTS):
        places, values = lexicon.bag(text)
        served = np.zeros(len(lexicon.idf), dtype=np.float32)
        served[places] = values
        assert np.allclose(weighted[row], served, atol=1e-6)
        assert np.linalg.norm(served) == pytest.approx(1.0, abs=1e-5)


def test_a_feature_of_one_text_alone_does_not_count() -> None:
    lexicon = Bags.of(TEXTS).lexicon(TARGETS, 2, 1000)

    assert not len(lexicon.bag("dumps")[0])
    assert len(lexicon.bag("with")[0])


def test_of_features_that_always_come_together_one_counts() -> None:
    bags = Bags.of(TEXTS)

    keys = bags.lexicon(TARGETS, 2, 1000).keys

    assert keys is not None
    columns = bags.counts[:, np.searchsorted(bags.hashes, keys)].toarray() > 0
    assert len(np.unique(columns, axis=1).T) == len(keys)


def test_of_too_many_features_the_telling_ones_count() -> None:
    texts = [f"{word} filler" for word in ("alpha", "alpha", "alpha", "omega", "omega", "omega")]
    bags = Bags.of(texts)

    lexicon = bags.lexicon(np.array([0, 0, 0, 1, 1, 1]), 2, 2)

    assert lexicon.keys is not None
    assert len(lexicon.keys) == 2
    assert all(len(lexicon.bag(word)[0]) for word in ("alpha", "omega"))
    assert not len(lexicon.bag("filler")[0])


def test_a_text_without_a_known_feature_has_an_empty_bag() -> None:
    lexicon = Bags.of(TEXTS).lexicon(TARGETS, 2, 1000)

    for text in ("", "zzz", "!?"):
        places, values = lexicon.bag(text)
        assert not len(places)
        assert not len(values)


def test_the_words_of_a_label_are_those_of_its_texts_at_unit_length() -> None:
    bags = Bags.of(TEXTS)
    lexicon = bags.lexicon(TARGETS, 2, 1000)

    found = terms(bags.weighted(lexicon), TARGETS, 2)

    similar = found.similarities([lexicon.bag("credentials"), lexicon.bag("mail")], 2)
    assert similar[0, 0] > 0.2 > similar[0, 1]
    assert similar[1, 1] > 0.2 > similar[1, 0]
    lengths = np.sqrt(np.bincount(found.labels, weights=found.values**2))
    assert np.allclose(lengths, 1.0, atol=1e-5)


def test_folded_features_cannot_be_weighed_for_training() -> None:
    with pytest.raises(ValueError, match="folded"):
        Bags.of(TEXTS).weighted(Lexicon(np.ones(8, np.float32)))
