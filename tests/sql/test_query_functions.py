"""recommend, classify, matrix, combine, fuse, page, duplicates and percentiles in SQL, worked out by hand."""

import math
from typing import Any

import psycopg
import pytest
from photostore import X, Y, Z, as_role, embed, make_collection, make_photos, new_role

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.integrity.reconcile import reconcile

HALF = 0.5**0.5
VECTORS = {1: X, 2: Y, 3: (-1.0, 0.0, 0.0), 4: (HALF, HALF, 0.0), 5: Z}
QUANTILES = (0.0, 50.0, 100.0)


@pytest.fixture
def photos(scratch: Connection) -> Collection:
    """Rows 1 to 6, the last of which is not embedded."""
    collection = make_photos(scratch, rows=6)
    embed(scratch, collection, VECTORS)
    return collection


@pytest.fixture
def albums(scratch: Connection) -> Collection:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute(
        "CREATE TABLE shop.photo (album integer, name text, file text, PRIMARY KEY (album, name))"
    )
    collection = make_collection(scratch, partitions=2)
    vectors = {(1, "a"): X, (1, "b"): Y, (2, "a"): (-1.0, 0.0, 0.0), (2, "b"): (HALF, HALF, 0.0)}
    for key in vectors:
        scratch.execute("INSERT INTO shop.photo VALUES (%s, %s, 'x.jpg')", key)
    embed(scratch, collection, vectors)
    return collection


@pytest.fixture
def labels(scratch: Connection, photos: Collection) -> Connection:
    """The words "east" and "north" at X and Y, of a softmax model of scale 2."""
    scratch.execute("UPDATE imgvec.model SET logit_scale = 2")
    for text, vector in (("east", "[1,0,0]"), ("north", "[0,1,0]")):
        scratch.execute(
            "INSERT INTO imgvec.text_embedding (model_id, text, embedding) VALUES (%s, %s, %s)",
            [photos.model_id, text, vector],
        )
    return scratch


def rows(scratch: Connection, statement: str, *values: Any) -> list[Any]:
    return scratch.execute(statement, values or None).fetchall()  # type: ignore[arg-type]


def vector(scratch: Connection, expression: str) -> list[float]:
    (found,) = rows(scratch, f"SELECT ({expression})::vector::real[]")
    return list(found[0])


def close(expected: Any) -> Any:
    return pytest.approx(expected, abs=1e-3)


@pytest.mark.usefixtures("photos")
def test_mean_embedding_is_the_mean_at_norm_1_of_the_rows_that_have_a_vector(scratch: Connection) -> None:
    for keys in ("ARRAY[1, 2]", "ARRAY[1, 2, 6, 99]", "ARRAY['2', '1']", "ARRAY(SELECT 1 UNION SELECT 2)"):
        assert vector(scratch, f"imgvec.mean_embedding('photo_test', {keys})") == close([HALF, HALF, 0])
    assert vector(scratch, "imgvec.mean_embedding('photo_test', ARRAY[1, 1, 1, 2])") == close(
        [3 / 10**0.5, 1 / 10**0.5, 0]
    )


@pytest.mark.usefixtures("photos")
def test_preference_is_the_liked_mean_less_a_quarter_of_the_disliked_mean(scratch: Connection) -> None:
    assert vector(scratch, "imgvec.preference('photo_test', ARRAY[1], ARRAY[2])") == close(
        [1 / 1.0625**0.5, -0.25 / 1.0625**0.5, 0]
    )
    assert vector(scratch, "imgvec.preference('photo_test', ARRAY[1], ARRAY[2], 1)") == close(
        [HALF, -HALF, 0]
    )
    for none in ("'{}'", "NULL"):
        assert vector(scratch, f"imgvec.preference('photo_test', ARRAY[1, 2], {none})") == close(
            [HALF, HALF, 0]
        )


@pytest.mark.usefixtures("photos")
def test_recommend_gives_the_nearest_others(scratch: Connection) -> None:
    # From (1, -0.25, 0) at norm 1.
    expected = [(4, 1 - 0.75 * HALF / 1.0625**0.5), (5, 1.0), (3, 1 + 1 / 1.0625**0.5)]
    found = rows(scratch, "SELECT * FROM imgvec.recommend_photo_test(ARRAY[1], ARRAY[2])")
    assert found == [(key, close(distance)) for key, distance in expected]
    found = rows(scratch, "SELECT id FROM imgvec.recommend_photo_test(ARRAY[1], k => 2)")
    assert found == [(4,), (2,)]
    among = "SELECT id FROM imgvec.recommend_photo_test(ARRAY[1], '{}', 10, among => ARRAY[1, 3, 5])"
    assert rows(scratch, among) == [(5,), (3,)]


@pytest.mark.usefixtures("albums")
def test_composite_keys_are_recommended_and_paged(scratch: Connection) -> None:
    key = "ROW({}, '{}')::imgvec.photo_test_key"
    found = rows(
        scratch,
        f"SELECT album, name FROM imgvec.recommend_photo_test(ARRAY[{key.format(1, 'a')}],"
        f" among => ARRAY[{key.format(1, 'a')}, {key.format(2, 'a')}, {key.format(1, 'b')}])",
    )
    assert found == [(1, "b"), (2, "a")]
    matrix = rows(
        scratch,
        "SELECT (row_key).name, (column_key).album, similarity FROM imgvec.similarity_matrix('photo_test',"
        f" ARRAY[{key.format(1, 'b')}, {key.format(2, 'b')}])",
    )
    assert matrix == [("b", 1, close(1)), ("b", 2, close(HALF)), ("b", 1, close(HALF)), ("b", 2, close(1))]
    fused = rows(
        scratch,
        f"SELECT (key).name, score FROM imgvec.fuse(ARRAY[{key.format(1, 'x')}, {key.format(1, 'y')}],"
        f" ARRAY[{key.format(1, 'y')}])",
    )
    assert fused == [("y", close(1 / 62 + 1 / 61)), ("x", close(1 / 61))]
    assert read_pages(scratch, "[0,0,1]", 1) == [(1, "a"), (1, "b"), (2, "a"), (2, "b")]
    assert rows(scratch, "SELECT album, name FROM imgvec.duplicates_of_photo_test(1, 'a', 0.3)") == [(2, "b")]


@pytest.mark.parametrize(
    ("similarities", "bias", "expected"),
    [
        ("{0.5, 0.5}", None, [0.5, 0.5]),
        ("{0.3, 0.1}", None, [math.e**2 / (math.e**2 + 1), 1 / (math.e**2 + 1)]),
        ("{0.3, 0.1}", -2.0, [1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))]),
        ("{-1000, 1000}", None, [0.0, 1.0]),
        ("{-1000, 1000}", 0.0, [0.0, 1.0]),
        ("{}", None, []),
    ],
)
def test_label_probabilities_are_softmax_without_bias_and_sigmoid_with_one(
    scratch: Connection, similarities: str, bias: float | None, expected: list[float]
) -> None:
    call = "SELECT imgvec.label_probabilities(%s::float8[], 10, %s::float8)"
    assert rows(scratch, call, similarities, bias) == [(pytest.approx(expected, abs=1e-12),)]


def test_classify_gives_each_row_each_label(labels: Connection) -> None:
    found = rows(
        labels,
        "SELECT * FROM imgvec.classify_photo_test(ARRAY['east', 'north'], ARRAY[1, 4, 99]) ORDER BY id, rank, label",
    )
    sure = math.exp(2) / (math.exp(2) + 1)
    assert found == [
        (1, "east", close(sure), 1),
        (1, "north", close(1 - sure), 2),
        (4, "east", close(0.5), 1),
        (4, "north", close(0.5), 1),
    ]
    everything = rows(labels, "SELECT FROM imgvec.classify_photo_test(ARRAY['east', 'north'])")
    assert len(everything) == 2 * len(VECTORS)


def test_classify_with_a_sigmoid_model_takes_each_label_alone(labels: Connection) -> None:
    labels.execute("UPDATE imgvec.model SET logit_bias = -1")
    found = rows(
        labels, "SELECT probability FROM imgvec.classify_photo_test(ARRAY['east'], ARRAY[1, 2]) ORDER BY id"
    )
    assert found == [(close(1 / (1 + math.exp(-1))),), (close(1 / (1 + math.exp(1))),)]


@pytest.mark.usefixtures("photos")
def test_similarity_matrix_keeps_the_order_and_type_of_the_keys(scratch: Connection) -> None:
    found = rows(
        scratch,
        "SELECT row_key, column_key, similarity, pg_typeof(row_key)::text"
        " FROM imgvec.similarity_matrix('photo_test', '[5:7]={4,1,3}'::smallint[])",
    )
    expected = {(4, 1): HALF, (4, 3): -HALF, (1, 3): -1.0}
    assert found == [
        (a, b, close(1.0 if a == b else expected.get((a, b), expected.get((b, a)))), "smallint")
        for a in (4, 1, 3)
        for b in (4, 1, 3)
    ]


def test_combine_adds_and_takes_away_at_norm_1(scratch: Connection) -> None:
    two = "ARRAY['[1,0,0]', '[0,1,0]']::halfvec[]"
    assert vector(scratch, f"imgvec.combine({two}, ARRAY[0.6, 0.8])") == close([0.6, 0.8, 0])
    assert vector(scratch, f"imgvec.combine({two}, ARRAY[3, -4])") == close([0.6, -0.8, 0])
    assert vector(scratch, "imgvec.combine(ARRAY['[0,0,2]'::halfvec], ARRAY[-5])") == close([0, 0, -1])
    # Proportions count, however small.
    assert vector(scratch, f"imgvec.combine({two}, ARRAY[6e-41, 8e-41])") == close([0.6, 0.8, 0])
    assert vector(scratch, f"imgvec.combine({two}, ARRAY[1e-300, 1])") == close([0, 1, 0])


def test_fuse_scores_by_reciprocal_rank(scratch: Connection) -> None:
    found = rows(scratch, "SELECT * FROM imgvec.fuse(ARRAY[7, 8, 8, NULL, 9], ARRAY[9, 7])")
    assert found == [
        (7, pytest.approx(1 / 61 + 1 / 62), 1, 2),
        (9, pytest.approx(1 / 65 + 1 / 61), 5, 1),
        (8, pytest.approx(1 / 62), 2, None),
    ]
    assert rows(scratch, "SELECT key, score FROM imgvec.fuse(ARRAY['b', 'a'], '{}', 1)") == [
        ("b", 0.5),
        ("a", pytest.approx(1 / 3)),
    ]
    assert rows(scratch, "SELECT * FROM imgvec.fuse('{}'::int[], '{}')") == []


def read_pages(scratch: Connection, query: str, k: int, among: str | None = None) -> list[Any]:
    """Return all keys, page after page."""
    given = "" if among is None else f", {among}"
    found: list[Any] = []
    distance, key = None, None
    while True:
        page = rows(
            scratch,
            f"SELECT * FROM imgvec.page_photo_test('{query}', {k}, %s, %s{given})",
            distance,
            key,
        )
        if not page:
            return found
        found += [row[0] if len(row) == 2 else tuple(row[:-1]) for row in page]
        *last, distance = page[-1]
        key = last[0] if len(last) == 1 else f"({','.join(map(str, last))})"


def test_pages_neither_repeat_nor_skip_among_equal_distances(scratch: Connection) -> None:
    collection = make_photos(scratch, rows=60)
    # Three distances only, each shared by twenty rows.
    embed(scratch, collection, {key: (X, Y, (HALF, HALF, 0.0))[key % 3] for key in range(1, 61)})
    scratch.execute("CREATE INDEX ON imgvec.photo_test_embedding USING hnsw (embedding halfvec_cosine_ops)")
    expected = sorted(range(1, 61), key=lambda key: ((0, 2, 1)[key % 3], key))
    for k in (1, 7, 20, 60, 100):
        assert read_pages(scratch, "[1,0,0]", k) == expected
    assert read_pages(scratch, "[1,0,0]", 4, "ARRAY[3, 6, 1, 2, 99]") == [3, 6, 2, 1]


@pytest.mark.parametrize("as_sent", ["%s::float8::float4", "round(%s::numeric, 4)", "round(%s::numeric, 6)"])
@pytest.mark.parametrize("is_composite", [False, True])
def test_pages_go_on_after_a_distance_that_was_rounded(
    scratch: Connection, as_sent: str, is_composite: bool
) -> None:
    keys = list(range(1, 41))
    if is_composite:
        scratch.execute("CREATE SCHEMA shop")
        scratch.execute("CREATE TABLE shop.photo (album int, id int, file text, PRIMARY KEY (album, id))")
        scratch.execute("INSERT INTO shop.photo SELECT 1, i FROM generate_series(1, 40) AS i")
        collection = make_collection(scratch)
    else:
        collection = make_photos(scratch, rows=40)
    # Some 0.001 apart, two of each.
    angles = {key: 0.3 + 0.003 * (key // 2) for key in keys}
    vectors = {key: (math.cos(angle), math.sin(angle), 0.0) for key, angle in angles.items()}
    embed(scratch, collection, {(1, key) if is_composite else key: vector for key, vector in vectors.items()})
    found: list[int] = []
    page = rows(scratch, "SELECT id, distance FROM imgvec.page_photo_test('[1,0,0]', 3)")
    after = "ROW(1, %s)::imgvec.photo_test_key" if is_composite else "%s"
    while page:
        found += [key for key, _ in page]
        key, distance = page[-1]
        page = rows(
            scratch,
            f"SELECT id, distance FROM imgvec.page_photo_test('[1,0,0]', 3, {as_sent}, {after})",
            distance,
            key,
        )
        assert len(found) <= len(keys)
    assert found == keys


def test_rows_that_come_and_go_between_pages_do_not_shift_the_others(scratch: Connection) -> None:
    collection = make_photos(scratch, rows=9)
    embed(scratch, collection, dict.fromkeys((2, 4, 6, 8), X))
    page = "SELECT id FROM imgvec.page_photo_test('[1,0,0]', 2, %s, %s)"
    first = rows(scratch, "SELECT * FROM imgvec.page_photo_test('[1,0,0]', 2)")
    assert [key for key, _ in first] == [2, 4]
    scratch.execute("DELETE FROM imgvec.photo_test_embedding WHERE id = 4")
    embed(scratch, collection, {1: X, 5: X})
    assert rows(scratch, page, first[-1][1], 4) == [(5,), (6,)]


@pytest.mark.usefixtures("photos")
def test_duplicates_are_the_other_rows_within_the_distance(scratch: Connection) -> None:
    duplicates = "SELECT id FROM imgvec.duplicates_of_photo_test(1, %s::float8)"
    assert rows(scratch, duplicates, 0.2) == []
    assert rows(scratch, duplicates, 0.3) == [(4,)]
    assert rows(scratch, "SELECT id FROM imgvec.duplicates_of_photo_test(1, 1.5, most => 2)") == [(4,), (2,)]


def calibrate(
    scratch: Connection, collection: Collection, distances: tuple[float, ...], pairs: str = "rows"
) -> None:
    scratch.execute(
        "INSERT INTO imgvec.calibration VALUES (%s, %s, %s::float8[], %s::float8[], 10)",
        [collection.id, pairs, list(QUANTILES), list(distances)],
    )


def test_percentile_and_distance_at_interpolate_and_reverse_each_other(
    scratch: Connection, photos: Collection
) -> None:
    calibrate(scratch, photos, (0.2, 0.6, 1.0))
    calibrate(scratch, photos, (0.8, 0.9, 1.0), "words")
    for distance, percentile in ((0.1, 0), (0.2, 0), (0.4, 25), (0.6, 50), (0.8, 75), (1.0, 100), (2.0, 100)):
        assert rows(scratch, "SELECT imgvec.percentile('photo_test', %s::float8)", distance) == [
            (close(percentile),)
        ]
    for percentile, distance in ((0, 0.2), (25, 0.4), (50, 0.6), (100, 1.0)):
        assert rows(scratch, "SELECT imgvec.distance_at('photo_test', %s)", percentile) == [
            (close(distance),)
        ]
    assert rows(scratch, "SELECT imgvec.percentile('photo_test', 0.85, 'words')") == [(close(25),)]
    assert rows(scratch, "SELECT imgvec.percentile('photo_test', NULL)") == [(None,)]


def test_percentiles_of_quantiles_that_are_equal_stay_in_order(
    scratch: Connection, photos: Collection
) -> None:
    calibrate(scratch, photos, (0.0, 0.0, 1.0))
    assert rows(scratch, "SELECT imgvec.percentile('photo_test', 0)") == [(50,)]
    assert rows(scratch, "SELECT imgvec.percentile('photo_test', 0.5)") == [(75,)]


MISTAKES = [
    ("mean_embedding('nope', ARRAY[1])", "42704", 'collection "nope" does not exist'),
    ("mean_embedding('photo_test\"; DROP TABLE imgvec.job; --', ARRAY[1])", "42704", "does not exist"),
    ("mean_embedding(NULL, ARRAY[1])", "42704", "the collection is NULL"),
    ("embed_text(NULL, 'x')", "42704", "the collection is NULL"),
    ("mean_embedding('photo_test', NULL::int[])", "22004", "the keys are NULL"),
    ("mean_embedding('photo_test', ARRAY[1, NULL])", "22004", "a key is NULL"),
    ("mean_embedding('photo_test', '{}'::int[])", "22023", "0 keys were given; expected 1 to 10000"),
    ("mean_embedding('photo_test', ARRAY[6, 99])", "P0002", "no embedding for any of the 2 keys"),
    ("mean_embedding('photo_test', ARRAY[1, 3])", "22023", "cancel each other out"),
    (
        "mean_embedding('photo_test', ARRAY(SELECT generate_series(1, 10001)))",
        "22023",
        "10001 keys were given",
    ),
    ("preference('photo_test', ARRAY[1, 99], '{}')", "P0002", 'no embedding for key {"id": 99}'),
    ("preference('photo_test', ARRAY[1], ARRAY[6])", "P0002", 'no embedding for key {"id": 6}'),
    ("preference('photo_test', '{}'::int[], ARRAY[1])", "22023", "0 keys were given; expected 1 to 1000"),
    ("preference('photo_test', ARRAY[1], ARRAY[1], 1)", "22023", "cancel each other out"),
    ("preference('photo_test', ARRAY[1], ARRAY[2], 1.5)", "22023", "is 1.5; expected 0 to 1"),
    ("preference('photo_test', ARRAY[1], ARRAY[2], 'NaN')", "22023", "is NaN; expected 0 to 1"),
    ("recommend_photo_test(ARRAY[1], k => 0)", "22023", "k must be 1 to 8000, not 0"),
    ("recommend_photo_test(NULL)", "22004", "the keys are NULL"),
    ("similarity_matrix('photo_test', ARRAY[1, 99])", "P0002", 'no embedding for key {"id": 99}'),
    (
        "similarity_matrix('photo_test', ARRAY(SELECT 1 FROM generate_series(1, 501)))",
        "22023",
        "expected 1 to 500",
    ),
    ("combine(NULL, ARRAY[1])", "22004", "a vector or a weight is NULL"),
    ("combine(ARRAY['[1,0]'::halfvec], ARRAY[1, 2])", "22023", "1 vectors and 2 weights were given"),
    ("combine('{}', '{}')", "22023", "expected as many of both, 1 to 100"),
    ("combine(ARRAY['[1,0]'::halfvec], ARRAY['NaN'::float8])", "22023", "not between -1000 and 1000"),
    ("combine(ARRAY['[1,0]', '[1,0,0]']::halfvec[], ARRAY[1, 1])", "22000", "different dimensions: 2, 3"),
    ("combine(ARRAY['[1,0]', '[1,0]']::halfvec[], ARRAY[1, -1])", "22023", "cancel each other out"),
    ("combine(ARRAY['[1,0]'::halfvec], ARRAY[0])", "22023", "all weights are 0"),
    ("label_probabilities(NULL, 100)", "22004", "a similarity or the logit scale is NULL"),
    ("label_probabilities(ARRAY[0.3, NULL], 100)", "22004", "a similarity or the logit scale is NULL"),
    ("label_probabilities(ARRAY[0.3, NULL], 100, -10)", "22004", "a similarity or the logit scale is NULL"),
    ("label_probabilities(ARRAY[0.3, 0.2], NULL)", "22004", "a similarity or the logit scale is NULL"),
    ("label_probabilities(ARRAY[0.3, 'NaN'], 100)", "22023", "is not finite"),
    ("label_probabilities(ARRAY[0.3, '-infinity'], 100, -10)", "22023", "is not finite"),
    ("label_probabilities(ARRAY['infinity', '-infinity']::float8[], 100)", "22023", "is not finite"),
    ("label_probabilities(ARRAY[0.3, 0.2], 'NaN')", "22023", "is not finite"),
    ("label_probabilities(ARRAY[0.3, 0.2], 'infinity')", "22023", "is not finite"),
    ("label_probabilities(ARRAY[0.3, 0.2], 100, 'NaN')", "22023", "is not finite"),
    ("fuse(NULL::int[], ARRAY[1])", "22004", "a list of keys is NULL"),
    ("fuse(ARRAY[1], ARRAY[1], -1)", "22023", "rank constant is -1"),
    ("fuse(ARRAY(SELECT generate_series(1, 10001)), '{}')", "22023", "have 10001 and 0 keys"),
    ("classify_photo_test(NULL)", "22004", "the labels are NULL"),
    ("classify_photo_test(ARRAY['east', NULL])", "22004", "a label is NULL"),
    ("classify_photo_test('{}')", "22023", "0 labels were given; expected 2 to 1000"),
    ("classify_photo_test(ARRAY['east'])", "22023", "1 labels were given; expected 2 to 1000"),
    ("classify_photo_test(ARRAY['east', 'east'])", "22023", "a label was given twice"),
    ("embed_labels('nope', ARRAY['east', 'north'])", "42704", 'collection "nope" does not exist'),
    ("page_photo_test(NULL)", "22004", "the query vector is NULL"),
    ("page_photo_test('[1,0]')", "22023", "has 2 dimensions, the collection 3"),
    ("page_photo_test('[0,0,0]')", "22023", "the query vector is zero"),
    ("page_photo_test('[1,0,0]', 0)", "22023", "k must be 1 to 10000, not 0"),
    ("page_photo_test('[1,0,0]', 1, 0.5)", "22023", "given together or not at all"),
    ("page_photo_test('[1,0,0]', 1, 'NaN', 1)", "22023", "after_distance is NaN; expected 0 to 2"),
    ("page_photo_test('[1,0,0]', 1, -0.1, 1)", "22023", "after_distance is -0.1"),
    ("duplicates_of_photo_test(99, 0.1)", "P0002", "no embedding for this key"),
    ("duplicates_of_photo_test(1, 3)", "22023", "is 3; expected 0 to 2"),
    ("duplicates_of_photo_test(1, 0.1, 0)", "22023", "most must be 1 to 1000, not 0"),
    ("percentile('nope', 0.1)", "42704", 'collection "nope" does not exist'),
    ("percentile('photo_test', 0.1)", "55000", "has not been calibrated for rows"),
    ("percentile('photo_test', 0.1, 'pixels')", "22023", 'pairs of "pixels" are not sampled'),
]


@pytest.mark.parametrize(("call", "state", "message"), MISTAKES)
def test_mistakes_are_told_with_state_and_hint(
    labels: Connection, call: str, state: str, message: str
) -> None:
    with pytest.raises(psycopg.Error) as raised, labels.transaction():
        labels.execute(f"SELECT * FROM imgvec.{call}")  # type: ignore[arg-type]
    assert raised.value.sqlstate == state, raised.value
    assert message in (raised.value.diag.message_primary or "")
    assert raised.value.diag.message_hint


@pytest.mark.parametrize("percentile", ["-1", "100.1", "'NaN'", "NULL"])
def test_distance_at_refuses_what_is_no_percentile(
    scratch: Connection, photos: Collection, percentile: str
) -> None:
    calibrate(scratch, photos, (0.2, 0.6, 1.0))
    with pytest.raises(psycopg.Error, match="expected 0 to 100"), scratch.transaction():
        scratch.execute(f"SELECT imgvec.distance_at('photo_test', {percentile})")  # type: ignore[arg-type]


def test_percentile_refuses_a_distance_that_is_none(scratch: Connection, photos: Collection) -> None:
    calibrate(scratch, photos, (0.2, 0.6, 1.0))
    with pytest.raises(psycopg.Error, match="the distance is NaN; expected 0 to 2") as raised:
        scratch.execute("SELECT imgvec.percentile('photo_test', 'NaN')")
    assert raised.value.sqlstate == "22023"


@pytest.mark.usefixtures("photos")
def test_classify_before_the_first_worker_says_what_to_run(scratch: Connection) -> None:
    with pytest.raises(psycopg.Error, match=r"scale of model .* is not known yet") as raised:
        scratch.execute("SELECT * FROM imgvec.classify_photo_test(ARRAY['east', 'north'])")
    assert "imgvec backfill" in (raised.value.diag.message_hint or "")


RESTRICTED = {
    "SELECT id FROM imgvec.recommend_photo_test(ARRAY[1])": [(2,)],
    "SELECT id FROM imgvec.page_photo_test('[1,0,0]', 10)": [(1,), (2,)],
    "SELECT id FROM imgvec.duplicates_of_photo_test(1, 2)": [(2,)],
    "SELECT DISTINCT id FROM imgvec.classify_photo_test(ARRAY['east', 'north']) ORDER BY id": [(1,), (2,)],
    "SELECT imgvec.mean_embedding('photo_test', ARRAY[1, 3])::text": [("[1,0,0]",)],
    "SELECT count(*) FROM imgvec.similarity_matrix('photo_test', ARRAY[1, 2])": [(4,)],
}
HIDDEN = (
    "recommend_photo_test(ARRAY[3])",
    "recommend_photo_test(ARRAY[1], ARRAY[3])",
    "preference('photo_test', ARRAY[1], ARRAY[3])",
    "similarity_matrix('photo_test', ARRAY[1, 3])",
    "duplicates_of_photo_test(3, 2)",
    "mean_embedding('photo_test', ARRAY[3])",
    "embeddings_of('photo_test', '[3]')",
)


def test_a_restricted_reader_is_answered_from_its_own_rows_alone(
    labels: Connection, photos: Collection
) -> None:
    labels.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    labels.execute("CREATE POLICY cheap ON shop.photo USING (price < 3)")
    reconcile(labels, photos)
    labels.execute("SET LOCAL row_security TO DEFAULT; SET LOCAL search_path TO DEFAULT")
    grants = ("imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON shop.photo")
    with new_role(labels, *grants) as role, as_role(labels, role):
        for statement, expected in RESTRICTED.items():
            assert rows(labels, statement) == expected
        for call in HIDDEN:
            with pytest.raises(psycopg.errors.NoDataFound), labels.transaction():
                labels.execute(f"SELECT * FROM imgvec.{call}")  # type: ignore[arg-type]
    assert len(rows(labels, "SELECT FROM imgvec.page_photo_test('[1,0,0]', 10)")) == len(VECTORS)


def test_a_reader_calibrates_nothing_and_reads_percentiles(scratch: Connection, photos: Collection) -> None:
    calibrate(scratch, photos, (0.2, 0.6, 1.0))
    with new_role(scratch, "imgvec_reader") as role, as_role(scratch, role):
        assert rows(scratch, "SELECT imgvec.percentile('photo_test', 0.6)") == [(close(50),)]
        assert rows(scratch, "SELECT imgvec.combine(ARRAY['[1,0]'::halfvec], ARRAY[1])::text") == [("[1,0]",)]
        assert rows(scratch, "SELECT key FROM imgvec.fuse(ARRAY[1], ARRAY[2])") == [(1,), (2,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege), scratch.transaction():
            scratch.execute("UPDATE imgvec.calibration SET pair_count = 1")


def test_functions_work_whatever_the_search_path_is(labels: Connection, photos: Collection) -> None:
    calibrate(labels, photos, (0.2, 0.6, 1.0))
    labels.execute("SET LOCAL search_path = ''")
    for call in (
        "recommend_photo_test(ARRAY[1], ARRAY[2])",
        "classify_photo_test(ARRAY['east', 'north'])",
        "page_photo_test(imgvec.embedding_of('photo_test', 1), 2, 0.1, 1, ARRAY[1, 2])",
        "duplicates_of_photo_test(1, 2)",
        "similarity_matrix('photo_test', ARRAY[1, 2])",
        "combine(ARRAY[imgvec.embedding_of('photo_test', 1)], ARRAY[1])",
        "percentile('photo_test', imgvec.distance_at('photo_test', 10))",
    ):
        assert rows(labels, f"SELECT * FROM imgvec.{call}")
