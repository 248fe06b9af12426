"""imgvec uninstall --keep-vectors: plain tables, found in a dump and in what is restored of it."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from colorshop import make_shop, request
from dumps import dump_schema, dump_to_file, restore
from filedrop import Imgvec

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.pictures.picture_table import prepare_pictures

VECTORS = "SELECT md5(string_agg(id || embedding::text || encode(content_hash, 'hex'), ',' ORDER BY id)), count(*) FROM {}"
OURS = """
SELECT 'trigger ' || tgname FROM pg_trigger
UNION ALL SELECT 'policy ' || polname FROM pg_policy
UNION ALL SELECT 'function ' || p.oid::regprocedure FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname LIKE 'imgvec%'
UNION ALL SELECT 'foreign key ' || conname FROM pg_constraint WHERE contype = 'f'
"""


@pytest.fixture
def imgvec(database: str, capsys: pytest.CaptureFixture[str]) -> Imgvec:
    return Imgvec(database, capsys)


def test_vectors_stay_in_plain_tables_and_go_through_dump_and_restore(
    connection: Connection, database: str, another_database: str, imgvec: Imgvec, tmp_path: Path
) -> None:
    collection = make_shop(connection)
    prepare_pictures(connection, replace(collection, by_picture=True))
    build_index(connection, collection)
    connection.execute("CREATE TABLE shop.pair (a int, b int, picture bytea, PRIMARY KEY (a, b))")
    create_collection(connection, request("pairs", "shop.pair", partitions=2))
    connection.execute("INSERT INTO shop.pair VALUES (1, 2, 'x')")
    connection.execute(
        "INSERT INTO imgvec.pairs_embedding SELECT 1, 2, embedding, 7, '', 'fp32' FROM imgvec.product_color_embedding "
        "WHERE id = 1"
    )
    imgvec("collection", "alias", "shown", "product_color")
    before = connection.execute(VECTORS.format("imgvec.product_color_embedding")).fetchone()
    nearest = "SELECT id FROM {} ORDER BY embedding <=> (SELECT embedding FROM {} WHERE id = 3), id"
    order = connection.execute(nearest.format(*["imgvec.product_color_embedding"] * 2)).fetchall()
    said = imgvec("uninstall", "--yes", "--keep-vectors")
    assert 'kept the vectors of collection product_color in "imgvec_kept"."product_color_embedding"' in said
    assert "left extension vector" in said and "dropped schema imgvec" in said

    dump_to_file(database, tmp_path / "dump")
    restore(another_database, tmp_path / "dump")
    with connect(another_database) as restored:
        for where in (connection, restored):
            assert where.execute(VECTORS.format("imgvec_kept.product_color_embedding")).fetchone() == before
            assert (
                where.execute(nearest.format(*["imgvec_kept.product_color_embedding"] * 2)).fetchall()
                == order
            )
            assert where.execute("SELECT a, b FROM imgvec_kept.pairs_embedding").fetchall() == [(1, 2)]
            assert where.execute(OURS).fetchall() == []
            columns = where.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'imgvec_kept.product_color_embedding'::regclass"
                " AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
            ).fetchall()
            assert [name for (name,) in columns] == [
                "id",
                "embedding",
                "content_hash",
                "precision",
                "embedded_at",
            ]
            comment = where.execute(
                "SELECT obj_description('imgvec_kept.product_color_embedding'::regclass)"
            ).fetchone()
            assert comment is not None and comment[0].startswith(
                "Embeddings of shop.product by color-grid (fingerprint"
            )
    # The application's tables are as if imgvec had never been there: rows come and go, and nothing is filed.
    connection.execute(
        "DELETE FROM shop.product WHERE id = 1; TRUNCATE shop.product; DROP TABLE shop.product"
    )
    # Beside its own schema a dump names imgvec nowhere.
    assert re.findall(r"\bimgvec\.\w+", dump_schema(database)) == []


def test_installed_again_beside_the_kept_vectors_they_can_be_imported(
    connection: Connection, database: str, imgvec: Imgvec, tmp_path: Path
) -> None:
    make_shop(connection)
    before = connection.execute(
        "SELECT id, embedding::text FROM imgvec.product_color_embedding ORDER BY id"
    ).fetchall()
    imgvec("uninstall", "--yes", "--keep-vectors")
    imgvec("migrate")
    create_collection(connection, request())
    connection.execute(
        "INSERT INTO imgvec.product_color_embedding (id, embedding, version, content_hash, precision)"
        " SELECT id, embedding, 0, content_hash, precision FROM imgvec_kept.product_color_embedding"
    )
    after = connection.execute(
        "SELECT id, embedding::text FROM imgvec.product_color_embedding ORDER BY id"
    ).fetchall()
    assert after == before
    said = imgvec("uninstall", "--yes", "--keep-vectors", code=1)
    assert "the schema imgvec_kept exists already" in said
    assert connection.execute("SELECT count(*) FROM imgvec.product_color_embedding").fetchone() == (8,)


def test_what_people_decided_about_duplicates_stays(connection: Connection, imgvec: Imgvec) -> None:
    make_shop(connection)
    connection.execute("UPDATE imgvec.product_color_embedding SET content_hash = sha256(id::text::bytea)")
    connection.execute("SELECT imgvec.decide_duplicate_content(sha256('1'), sha256('2'), 'keep_both')")
    said = imgvec("uninstall", "--yes", "--keep-vectors")
    assert "kept 1 decision about duplicates in imgvec_kept.duplicate_decision" in said
    assert connection.execute(
        "SELECT d.decision FROM imgvec_kept.duplicate_decision AS d"
        " JOIN imgvec_kept.product_color_embedding AS e USING (content_hash)"
        " JOIN imgvec_kept.product_color_embedding AS o ON o.content_hash = d.other_content_hash"
    ).fetchall() == [("keep_both",)]
    assert connection.execute(OURS).fetchall() == []
    granted = connection.execute(
        "SELECT count(*) FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a"
        " WHERE c.relnamespace = 'imgvec_kept'::regnamespace AND a.grantee <> c.relowner"
    ).fetchone()
    assert granted == (0,)


def test_the_library_keeps_its_pictures_too(connection: Connection, imgvec: Imgvec, tmp_path: Path) -> None:
    from colorshop import picture

    (tmp_path / "a.png").write_bytes(picture("red"))
    imgvec("add", tmp_path)
    imgvec("collection", "create", "image", "--library", "--model", "color-grid")
    imgvec("backfill", "image")
    imgvec("uninstall", "--yes", "--keep-vectors")
    rows = connection.execute(
        "SELECT i.uri LIKE '%a.png', e.content_hash = i.content_hash FROM imgvec_kept.image AS i JOIN "
        "imgvec_kept.image_embedding AS e USING (id)"
    ).fetchall()
    assert rows == [(True, True)]
    assert connection.execute(OURS).fetchall() == []
