"""Places, clusters and names of a map, without a database."""

import numpy as np
import pytest
from requires import requires

from imgvec_pg.errors import UsageError
from imgvec_pg.maps.clusters import find_clusters, nearest_cluster
from imgvec_pg.maps.layout import (
    FEWEST,
    SPAN,
    Floats,
    distinct_vectors,
    lay_out,
    nearest_landmarks,
    place_among,
    usable_rows,
)
from imgvec_pg.maps.names import names_of_best_column, names_of_values, names_of_words, numbered

pytestmark = requires("openTSNE")
GROUPS, ROWS, DIMENSIONS = 4, 30, 24


@pytest.fixture(scope="module")
def groups() -> tuple[np.ndarray, np.ndarray]:
    """Give unit vectors in four groups, and which group each is in."""
    random = np.random.default_rng(3)
    which = np.repeat(np.arange(GROUPS), ROWS)
    vectors = (
        random.normal(size=(GROUPS, DIMENSIONS))[which] + random.normal(size=(len(which), DIMENSIONS)) / 5
    )
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16), which


def neighbours_kept(places: Floats, which: np.ndarray) -> float:
    """Return the share of rows whose nearest in the plane is of their own group."""
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    return float((which[apart.argmin(axis=1)] == which).mean())


def test_like_lies_beside_like_and_the_same_seed_gives_the_same_map(
    groups: tuple[np.ndarray, np.ndarray],
) -> None:
    vectors, which = groups
    layout = lay_out(vectors, seed=5)
    assert layout.method == "t-SNE" and len(layout.landmarks) == len(vectors)
    assert np.isfinite(layout.places).all() and np.abs(layout.places).max() < SPAN
    assert neighbours_kept(layout.places, which) > 0.95
    assert np.array_equal(layout.places, lay_out(vectors, seed=5).places)


def test_pictures_beyond_the_landmarks_lie_beside_their_like(groups: tuple[np.ndarray, np.ndarray]) -> None:
    vectors, which = groups
    layout = lay_out(vectors, landmarks=60, seed=5)
    assert len(layout.landmarks) == 60
    assert neighbours_kept(layout.places, which) > 0.95


def test_a_row_that_equals_a_landmark_lies_on_it_and_none_lies_between_two_clusters() -> None:
    places = np.array([[-40, 0], [-40.5, 0], [-40, 0.5], [40, 0], [40, 0.5]], dtype=np.float32)
    at = np.array([[0, 0], [0, 1], [0, 2], [10, 0], [10, 1]], dtype=np.float32)
    others = np.array([[0, 1], [4.9, 0]], dtype=np.float32)
    found = place_among(places, *nearest_landmarks(at, others))
    assert np.allclose(found[0], places[1], atol=1e-3)
    assert found[1][0] < -39


@pytest.mark.parametrize("rows", [1, 2, FEWEST - 1])
def test_few_pictures_lie_by_their_components(groups: tuple[np.ndarray, np.ndarray], rows: int) -> None:
    layout = lay_out(groups[0][:rows])
    assert layout.method == "PCA" and layout.places.shape == (rows, 2) and np.isfinite(layout.places).all()
    assert len(np.unique(layout.places, axis=0)) == rows


def test_vectors_of_one_dimension_have_a_map() -> None:
    assert lay_out(np.ones((1, 1), np.float16)).places.tolist() == [[0.0, 0.0]]


def test_equal_vectors_are_found_and_those_without_a_direction() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0, 0], [np.nan, 1], [np.inf, 0]], dtype=np.float16)
    assert usable_rows(vectors).tolist() == [True, True, True, False, False, False]
    firsts, which = distinct_vectors(vectors[:3])
    assert (firsts.tolist(), which.tolist()) == ([0, 1], [0, 1, 0])


def test_clusters_are_the_groups_as_many_as_fit_and_the_largest_first(
    groups: tuple[np.ndarray, np.ndarray],
) -> None:
    vectors, which = groups
    some = np.concatenate([np.arange(20), np.arange(30, len(which))])
    coordinates = lay_out(vectors[some]).coordinates
    found = find_clusters(coordinates)
    assert len(found.centres) == GROUPS and found.silhouette is not None and found.silhouette > 0.5
    pairs = set(zip(found.labels.tolist(), which[some].tolist(), strict=True))
    assert len(pairs) == GROUPS
    assert (GROUPS - 1, 0) in pairs, "the group with the fewest rows comes last"
    assert np.array_equal(nearest_cluster(found.centres, coordinates), found.labels)


def test_equal_rows_are_one_cluster_and_too_many_clusters_are_refused() -> None:
    found = find_clusters(np.ones((40, 3), np.float32))
    assert found.labels.tolist() == [0] * 40 and found.silhouette is None
    with pytest.raises(UsageError, match="--clusters is 9; expected 1 to 8"):
        find_clusters(np.eye(8, dtype=np.float32), 9)


def test_words_name_what_sets_a_cluster_apart() -> None:
    # "picture" suits all best, as words of a modality gap do, and so names nothing.
    words = np.array([[1, 0, 0], [0.8, 0.6, 0], [0.8, 0, 0.6]], dtype=np.float32)
    vectors = np.array([[0.8, 0.6, 0]] * 3 + [[0.8, 0, 0.6]] * 2, dtype=np.float32)
    labels = np.array([0, 0, 0, 2, 2])
    assert names_of_words(vectors, labels, ["picture", "cat", "dog"], words) == ["cat", "", "dog"]


def test_values_name_clusters_by_what_is_more_common_there_than_elsewhere() -> None:
    values = ["a", "a", "b", "b", "a", "c", "c", None]
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    names, told = names_of_values(values, labels)
    assert names == ["b", "c", ""] and told > 0
    alike = names_of_values(["a", "b"] * 4, np.array([0, 0, 1, 1] * 2))
    assert alike[1] == pytest.approx(0)
    best = names_of_best_column(
        {"same": ["x"] * 8, "unlike": [str(n) for n in range(8)][:4] * 2, "kind": values}, labels
    )
    assert best[0] == "kind"


def test_equal_names_are_told_apart_and_empty_ones_are_numbers() -> None:
    assert numbered(["Flags", "", "Flags"], 4) == ["Flags", "cluster 1", "Flags (2)", "cluster 3"]
