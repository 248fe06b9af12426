"""Bursts of near copies, as frames of one scene: an index scan that got caught in one is noticed, and searched on."""

from collections import Counter
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from photostore import make_collection

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.search_functions import BURST_DISTANCE

DIMENSIONS = 64


def unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    scaled = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled.astype(np.float16).astype(np.float64)


def make_bursts(draw: np.random.Generator) -> tuple[npt.NDArray[np.float64], list[int]]:
    """5,000 pictures, four bursts of 1,000 at cosine 0.9975, and 40 pictures beside each; and the places of these."""
    centres = draw.standard_normal((100, DIMENSIONS))
    vectors = [unit(centres[np.arange(5000) % 100] + draw.standard_normal((5000, DIMENSIONS)))]
    beside: list[int] = []
    for _ in range(4):
        middle = unit(centres[draw.integers(100)] + draw.standard_normal(DIMENSIONS))
        vectors.append(unit(middle + 0.05 * unit(draw.standard_normal((1000, DIMENSIONS)))))
        begin = sum(map(len, vectors))
        far = draw.uniform(0.3, 0.8, (40, 1))
        vectors.append(unit(middle + far * unit(draw.standard_normal((40, DIMENSIONS)))))
        beside += range(begin, begin + 40)
    return np.concatenate(vectors), beside


def text(vector: npt.NDArray[np.float64]) -> str:
    return str([float(x) for x in vector])


def fill(
    connection: Connection, draw: np.random.Generator
) -> tuple[Collection, npt.NDArray[np.float64], list[int]]:
    """Make a collection of them in random order, without an index; return it with the vectors by key, and keys beside bursts."""
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text)")
    collection = make_collection(connection, dimensions=DIMENSIONS)
    vectors, beside = make_bursts(draw)
    order = draw.permutation(len(vectors))
    connection.execute(
        "INSERT INTO shop.photo SELECT i, 'x.jpg' FROM unnest(%s::bigint[]) AS i", [order.tolist()]
    )
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
        " SELECT u.id, u.v::halfvec, 1, sha256(u.id::text::bytea), 'fp32' FROM unnest(%s::bigint[], %s::text[]) AS u (id, v)",
        [order.tolist(), [text(vectors[place]) for place in order]],
    )
    return collection, vectors, beside


def ask(
    connection: Connection, draw: np.random.Generator, vectors: npt.NDArray[np.float64], beside: list[int]
) -> tuple[Counter[bool], Counter[bool], Counter[str]]:
    """Ask with near copies of the pictures beside bursts; count whether near_* and search_* find these, and how."""
    connection.execute("SET enable_seqscan = off; SET enable_sort = off")
    plain, missed, ways = Counter[bool](), Counter[bool](), Counter[str]()
    for place in beside:
        query = text(unit(vectors[place] + 0.2 * unit(draw.standard_normal(DIMENSIONS))))
        near = connection.execute(
            "SELECT id FROM imgvec.near_photo_test(%s::halfvec) ORDER BY distance LIMIT 10", [query]
        ).fetchall()
        found = connection.execute(
            "SELECT id FROM imgvec.search_photo_test(%s::halfvec, 10)", [query]
        ).fetchall()
        assert len(found) == 10
        plain[(place,) in near] += 1
        missed[(place,) in found] += 1
        way = connection.execute("SELECT imgvec.last_search_strategy()").fetchone()
        assert way is not None
        ways[way[0]] += 1
    return plain, missed, ways


def test_a_picture_beside_a_burst_is_found_by_its_near_copy(connection: Connection) -> None:
    draw = np.random.default_rng(1)
    collection, vectors, beside = fill(connection, draw)
    build_index(connection, collection)
    plain, missed, ways = ask(connection, draw, vectors, beside)
    # The index alone misses some; whoever was caught is told from those who were not.
    assert plain[False] > 0, plain
    assert 5 * missed[False] <= plain[False], (plain, missed, ways)
    assert ways["index"] > ways["index, then exact"] + ways["index, wider"] > 0, ways


def test_lists_are_read_whole_so_no_search_gets_caught_in_a_burst(connection: Connection) -> None:
    draw = np.random.default_rng(1)
    collection, vectors, beside = fill(connection, draw)
    build_index(connection, replace(collection, index_method="ivfflat", lists=90))
    _, missed, ways = ask(connection, draw, vectors, beside)
    assert missed[False] == 0, missed
    assert ways == {"index": len(beside)}, ways
    # Nor where all that is near is of a burst, of which one in a graph would be searched on.
    among = vectors[beside[0] - 1]
    query = text(unit(among + 0.3 * unit(draw.standard_normal(DIMENSIONS))))
    found = connection.execute(
        "SELECT distance FROM imgvec.search_photo_test(%s::halfvec, 20)", [query]
    ).fetchall()
    assert len(found) == 20 and found[0][0] > BURST_DISTANCE
    assert connection.execute("SELECT imgvec.last_search_strategy()").fetchone() == ("index",)
