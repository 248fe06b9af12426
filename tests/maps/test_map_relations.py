"""`imgvec map` in a real database: its relations, rights, updates, and what changes around them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dumps import dump_to_file, restore
from photostore import as_role, make_collection, new_role
from requires import requires
from sqlalchemy import MetaData, Table, create_engine

from imgvec_pg.alembic.autogenerate import is_collection_table
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.errors import CollectionError, DatabaseError
from imgvec_pg.maps import make_map as make_map_module
from imgvec_pg.maps.make_map import MapOptions, make_map, update_map
from imgvec_pg.maps.map_tables import has_map, map_state
from imgvec_pg.maps.read_map import read_map
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import drop_collection
from imgvec_pg.store.integrity.rename import follow_columns, rename_collection
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.setup.uninstall import remove_everything

pytestmark = requires("openTSNE")

Ask = Callable[..., str]
DIMENSIONS = 8
KINDS = ("apple", "boat", "<b>cup")


def vector_of(key: int) -> str:
    """Return a vector near the axis of the row's kind."""
    vector = np.random.default_rng(key).normal(size=DIMENSIONS) / 8
    vector[key % 3] += 1
    return str((vector / np.linalg.norm(vector)).tolist())


def put(connection: Connection, *keys: int) -> None:
    """Add rows with their vectors."""
    for key in keys:
        connection.execute(
            "INSERT INTO shop.photo VALUES (%s, %s, %s, %s)", [key, f"{key}.jpg", KINDS[key % 3], key]
        )
        connection.execute(
            "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
            " VALUES (%s, %s, 1, sha256(%s::text::bytea), 'fp32')",
            [key, vector_of(key), key],
        )


@pytest.fixture
def photos(connection: Connection) -> Collection:
    """Give 36 rows of three kinds."""
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text, kind text, price numeric)")
    collection = make_collection(connection, dimensions=DIMENSIONS)
    put(connection, *range(36))
    connection.execute("ANALYZE shop.photo")
    return collection


@pytest.fixture
def ask(database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run `imgvec map` and return what it printed; `err` stands in what it said beside it."""
    monkeypatch.setenv("IMGVEC_DSN", database)

    def answer(*arguments: str, code: int = 0, err: str = "") -> str:
        found = run(cli, ["map", *arguments])
        said = capsys.readouterr()
        assert found == code, said.err
        assert err in said.err, said.err
        assert not code or said.err.splitlines()[-1].startswith("imgvec: "), said.err
        assert "Traceback" not in said.err
        return said.out

    return answer


def points(connection: Connection, name: str = "photo_test") -> dict[int, tuple[Any, ...]]:
    rows = connection.execute(f"SELECT id, x, y, cluster, cluster_name FROM imgvec.map_{name}")
    return {key: tuple(rest) for key, *rest in rows}


def test_a_map_is_joined_in_sql_and_its_clusters_have_names(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    said = ask("photo_test", "--clusters", "3", err="t-SNE of 36 pictures")
    assert "photo_test: 36 points placed by t-SNE" in said and "3 clusters by k-means" in said
    assert "named by column kind" in said
    wrong = connection.execute(
        "SELECT count(*) FROM imgvec.map_photo_test AS m JOIN shop.photo AS p USING (id) WHERE m.cluster_name <> p.kind"
    ).fetchone()
    assert wrong == (0,)
    told = json.loads(ask("photo_test", "--json", "--where", "price < 30", "--names-from", "file"))
    assert (told["points"], told["relation"]) == (30, "imgvec.map_photo_test")
    assert sum(cluster["rows"] for cluster in told["clusters"]) == 30
    assert len(points(connection)) == 30
    assert [is_collection_table(table) for table in reflected(connection)] == [True] * 3


def reflected(connection: Connection) -> list[Table]:
    """Return the tables of the map as Alembic's autogenerate meets them."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(connection.info.dsn))
    found = MetaData()
    with engine.connect() as opened:
        found.reflect(opened, schema="imgvec", only=lambda name, _: name.startswith("photo_test_map"))
    engine.dispose()
    return [table for name, table in found.tables.items() if name.startswith("imgvec.photo_test_map")]


def test_names_that_are_values_of_a_column_are_for_those_who_may_read_it(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    ask("photo_test", "--clusters", "3", "--names-from", "kind", err="")
    with new_role(
        connection, "imgvec_reader", "USAGE ON SCHEMA shop", "SELECT (id, file, price) ON shop.photo"
    ) as role:
        with as_role(connection, role):
            names = {row[3] for row in points(connection).values()}
            told = connection.execute("SELECT count(*) FROM imgvec.photo_test_map_cluster").fetchone()
            shown = read_map(connection, photos)
            by_price = read_map(connection, photos, "price")
        assert (names, told) == ({None}, (0,))
        # Coloured and numbered all the same.
        assert [one.name for one in shown.named] == [f"cluster {one.number}" for one in shown.named]
        assert len(shown.named) == len(np.unique(shown.colours, axis=0)) == 3 and len(by_price.named) == 3
        connection.execute(f"GRANT SELECT (kind) ON shop.photo TO {role}")
        with as_role(connection, role):
            assert {row[3] for row in points(connection).values()} == set(KINDS)
            assert {one.name for one in read_map(connection, photos).named} == set(KINDS)
            connection.execute("RESET ROLE")
            connection.execute("ALTER TABLE shop.photo RENAME kind TO sort")
            connection.execute(f"SET ROLE {role}")
            assert {row[3] for row in points(connection).values()} == {None}


def test_migrate_hides_names_of_a_column_in_the_maps_of_earlier_builds(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    ask("photo_test", "--clusters", "3", "--names-from", "kind", err="")
    connection.execute(
        "ALTER POLICY follow_points ON imgvec.photo_test_map_cluster USING"
        " (EXISTS (SELECT FROM imgvec.photo_test_map_point AS p WHERE p.cluster = photo_test_map_cluster.cluster))"
    )
    connection.execute(
        "ALTER TABLE imgvec.collection DROP COLUMN has_radius_index; DROP FUNCTION imgvec.within_place"
    )
    connection.execute("UPDATE imgvec.alembic_version SET version_num = 'imgvec_0011'")
    with new_role(
        connection, "imgvec_reader", "USAGE ON SCHEMA shop", "SELECT (id, file) ON shop.photo"
    ) as role:
        for is_migrated, expected in ((False, set(KINDS)), (True, {None})):
            if is_migrated:
                upgrade(connection)
            with as_role(connection, role):
                assert {row[3] for row in points(connection).values()} == expected
        connection.execute(f"GRANT SELECT (kind) ON shop.photo TO {role}")
        with as_role(connection, role):
            assert {row[3] for row in points(connection).values()} == set(KINDS)


def test_new_rows_are_placed_beside_their_like_and_nothing_else_moves(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    ask("photo_test", "--clusters", "3", err="")
    before = points(connection)
    put(connection, 36, 37)
    connection.execute(
        "UPDATE imgvec.photo_test_embedding SET embedding = %s, version = 2 WHERE id = 0", [vector_of(1)]
    )
    connection.execute("DELETE FROM shop.photo WHERE id = 5")
    said = ask("photo_test", "--update", err="placing 3 by their nearest of 34")
    assert (
        "3 rows placed by their nearest neighbours" in said and "37 points now, 3 of them placed so" in said
    )
    after = points(connection)
    assert {key: after[key] for key in after if key not in {0, 36, 37}} == {
        key: before[key] for key in before if key not in {0, 5}
    }
    # Row 0 has the vector of row 1 now, so it lies on it.
    assert after[0] == after[1]
    assert {after[key][3] for key in (36, 37)} == {"apple", "boat"}
    assert "0 rows placed" in ask("photo_test", "--update")
    put(connection, *range(38, 90))
    told = json.loads(ask("photo_test", "--update", "--json"))
    assert (told["placed"], told["placed_later"], told["is_old"]) == (52, 55, True)
    ask(
        "photo_test",
        "--update",
        err="older than half its rows (55 of 89 were placed later); make it anew: imgvec map photo_test",
    )


def test_a_map_shows_each_role_its_own_rows_and_the_names_of_their_clusters(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    make_map(connection, photos, MapOptions(clusters=3))
    connection.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    connection.execute("CREATE POLICY apples ON shop.photo USING (kind = 'apple')")
    assert run(cli, ["collection", "reconcile", "photo_test"]) == 0
    with new_role(connection, "USAGE ON SCHEMA shop", "SELECT ON shop.photo") as reader:
        connection.execute(f"GRANT imgvec_reader TO {reader}")
        with as_role(connection, reader):
            assert {name for *_, name in points(connection).values()} == {"apple"}
            assert sorted(points(connection)) == list(range(0, 36, 3))
            assert connection.execute("SELECT name FROM imgvec.photo_test_map_cluster").fetchall() == [
                ("apple",)
            ]
            assert map_state(connection, photos).points == 12
            with pytest.raises(
                DatabaseError, match="may not write the map of collection photo_test; it takes imgvec_worker"
            ):
                update_map(connection, photos)
        connection.execute(f"GRANT imgvec_worker TO {reader}")
    with new_role(connection) as stranger, as_role(connection, stranger), pytest.raises(DatabaseError):
        map_state(connection, photos)


def test_a_map_goes_with_its_collection_and_follows_its_name(
    connection: Connection, photos: Collection
) -> None:
    make_map(connection, photos, MapOptions(clusters=2))
    renamed = rename_collection(connection, photos, "picture_test")
    assert len(points(connection, "picture_test")) == 36 and has_map(connection, renamed)
    # A view cannot follow a key's new name; the next run makes it again.
    connection.execute("ALTER TABLE shop.photo RENAME id TO number")
    follow_columns(connection, renamed, {"id": "number"})
    renamed = get_collection(connection, "picture_test")
    assert not has_map(connection, renamed)
    assert make_map(connection, renamed, MapOptions(clusters=2)).points == 36
    drop_collection(connection, renamed)
    assert not connection.execute(
        "SELECT relname FROM pg_class WHERE relname LIKE '%map%' AND relnamespace = 'imgvec'::regnamespace"
    ).fetchall()


def test_a_dump_brings_the_map_back(
    connection: Connection, photos: Collection, empty_database: str, tmp_path: Path
) -> None:
    make_map(connection, photos, MapOptions(clusters=2))
    dump_to_file(connection.info.dsn, tmp_path / "dump")
    restore(empty_database, tmp_path / "dump")
    with connect(empty_database) as other:
        assert points(other) == points(connection)


def test_uninstalling_takes_the_map_away_and_may_keep_the_vectors(
    connection: Connection, photos: Collection
) -> None:
    make_map(connection, photos, MapOptions(where="id < 9"))
    assert len(list(remove_everything(connection, lock_timeout_ms=2000, keep_vectors=True))) > 1
    left = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'imgvec%'").fetchall()
    assert left == [("imgvec_kept",)]


def test_an_alias_means_the_map_of_its_collection(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    assert run(cli, ["collection", "alias", "photos", "photo_test"]) == 0
    assert "the map is imgvec.map_photo_test" in ask("photos", "--where", "id < 9")


def test_words_of_the_model_name_clusters(
    connection: Connection, photos: Collection, ask: Ask, tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("# a comment\nred\nblue\n\ngreen\nred\n", encoding="utf-8")
    # The cache of texts has them, each at the axis of one kind.
    for axis, word in enumerate(("red", "blue", "green")):
        connection.execute(
            "INSERT INTO imgvec.text_embedding (model_id, text, embedding) VALUES (%s, %s, %s)",
            [photos.model_id, word, str(np.eye(DIMENSIONS)[axis].tolist())],
        )
    told = json.loads(ask("photo_test", "--words", str(words), "--clusters", "3", "--json"))
    assert told["named_by"] == "words"
    assert {cluster["name"] for cluster in told["clusters"]} == {"red", "blue", "green"}
    named = {key: name for key, (*_, name) in points(connection).items()}
    assert (named[0], named[1], named[2]) == ("red", "blue", "green")


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_few_rows_have_a_map(connection: Connection, photos: Collection, rows: int) -> None:
    made = make_map(connection, photos, MapOptions(where=f"id < {rows}"))
    assert (made.points, made.run.method) == (rows, "PCA")
    assert len(points(connection)) == rows


def test_rows_that_share_a_vector_share_a_place(connection: Connection, photos: Collection) -> None:
    connection.execute("UPDATE imgvec.photo_test_embedding SET embedding = %s", [vector_of(1)])
    made = make_map(connection, photos, MapOptions())
    assert (made.points, made.run.pictures, len(made.clusters)) == (36, 1, 1)
    assert {(x, y) for x, y, *_ in points(connection).values()} == {(0.0, 0.0)}


def test_a_vector_without_a_direction_is_left_out_and_told(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    # The table's CHECK allows none; one that somebody took away must not end in a traceback.
    connection.execute("ALTER TABLE imgvec.photo_test_embedding DROP CONSTRAINT embedding_is_unit")
    connection.execute(
        "UPDATE imgvec.photo_test_embedding SET embedding = %s WHERE id = 3", [str([0.0] * DIMENSIONS)]
    )
    ask("photo_test", err="without a direction, and not on the map: 1 vector")
    assert 3 not in points(connection)


def test_what_cannot_be_mapped_is_told_in_one_line(
    connection: Connection, photos: Collection, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(
        "photo_test", "--update", code=1, err="photo_test has no map yet; make it with: imgvec map photo_test"
    )
    ask("photo_test", "--where", "id < 0", code=1, err="matches the condition 'id < 0'")
    ask("photo_test", "--where", "nonsense", code=2, err='column "nonsense" does not exist')
    ask("photo_test", "--where", "true) OR (true", code=2, err="PostgreSQL does not take the condition")
    ask("photo_test", "--names-from", "colour", code=2, err="colour")
    ask("photo_test", "--update", "--clusters", "2", code=2, err="--clusters was given with --update")
    ask("photo_test", "--clusters", "37", code=2, err="--clusters is 37; expected 1 to 36")
    words = tmp_path / "words.txt"
    words.write_text("one\n", encoding="utf-8")
    ask("photo_test", "--words", str(words), code=2, err="there are 1 different words; expected 2 to 5,000")
    words.write_bytes(b"\xff\xfe\xff")
    ask("photo_test", "--words", str(words), code=2, err="as UTF-8 text")
    connection.execute("TRUNCATE imgvec.photo_test_embedding CASCADE")
    ask("photo_test", code=1, err="run: imgvec backfill photo_test")
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    ask("photo_test", code=1, err="computing a map needs the package openTSNE")


def test_a_collection_or_a_map_that_goes_meanwhile_is_told(
    connection: Connection, photos: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dropped(*arguments: Any, **options: Any) -> Any:
        with connect(connection.info.dsn) as other:
            drop_collection(other, get_collection(other, "photo_test"))
        return lay_out(*arguments, **options)

    def made_anew(*arguments: Any) -> Any:
        with connect(connection.info.dsn) as other:
            make_map(other, photos, MapOptions(where="id < 10"))
        return nearest(*arguments)

    lay_out, nearest = make_map_module.lay_out, make_map_module.nearest_landmarks
    make_map(connection, photos, MapOptions(where="id < 20"))
    put(connection, 40)
    connection.execute("UPDATE imgvec.photo_test_map_run SET condition = NULL")
    monkeypatch.setattr(make_map_module, "nearest_landmarks", made_anew)
    with pytest.raises(DatabaseError, match="was made anew meanwhile; run this again"):
        update_map(connection, photos)
    assert len(points(connection)) == 10
    monkeypatch.setattr(make_map_module, "lay_out", dropped)
    with pytest.raises(CollectionError, match="dropped or changed meanwhile"):
        make_map(connection, photos, MapOptions())


def test_the_rows_of_a_relation_of_that_name_are_left_alone(
    connection: Connection, photos: Collection
) -> None:
    connection.execute("CREATE TABLE imgvec.map_photo_test (own integer)")
    with pytest.raises(CollectionError, match="rename what has that name"):
        make_map(connection, photos, MapOptions())
    assert connection.execute("SELECT count(*) FROM imgvec.map_photo_test").fetchone() == (0,)


def test_a_map_of_a_composite_key(connection: Connection, database: str) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute(
        'CREATE TABLE shop."a photo" ("tenant %" int, "id" numeric, file text, PRIMARY KEY ("tenant %", "id"))'
    )
    collection = make_collection(connection, 'shop."a photo"', dimensions=DIMENSIONS)
    for key in range(6):
        connection.execute(
            'INSERT INTO shop."a photo" VALUES (%s, %s, %s)', [key % 2, f"{key}.50", f"{key}.jpg"]
        )
        connection.execute(
            'INSERT INTO imgvec.photo_test_embedding ("tenant %%", id, embedding, version, content_hash, precision)'
            " VALUES (%s, %s, %s, 1, '', 'fp32')",
            [key % 2, f"{key}.50", vector_of(key)],
        )
    made = make_map(connection, collection, MapOptions())
    assert (made.points, made.changed) == (6, 0)
    connection.execute('INSERT INTO shop."a photo" VALUES (7, 7, %s)', ["7.jpg"])
    connection.execute(
        'INSERT INTO imgvec.photo_test_embedding ("tenant %%", id, embedding, version, content_hash, precision)'
        " VALUES (7, 7, %s, 1, '', 'fp32')",
        [vector_of(7)],
    )
    assert update_map(connection, collection).placed == 1
    row = connection.execute(
        'SELECT count(*) FROM imgvec.map_photo_test JOIN shop."a photo" USING ("tenant %%", id)', []
    ).fetchone()
    assert row == (7,)
