"""Alembic in an application's own tree: autogenerate writes all, finds nothing the second time, and goes both ways with rows."""

import re
import signal
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembicapp import App
from dumps import dump_schema, dump_to_file, restore, run_tool
from ormshop import sqlalchemy_url

from imgvec_pg.alembic.alter_collection import AlterCollectionOp
from imgvec_pg.alembic.collection_ops import DropCollectionOp
from imgvec_pg.alembic.index_ops import DropHnswIndexOp, HnswIndex
from imgvec_pg.alembic.migration_errors import MigrationError
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection_ddl import triggered_tables
from imgvec_pg.store.registry import find_collections
from imgvec_pg.store.spec import CollectionSpec


@pytest.fixture
def app(database: str, tmp_path: Path) -> App:
    return App(tmp_path, database)


@pytest.fixture
def rows(app: App, connection: Connection) -> Connection:
    """The application's first revision applied, with 200 rows, and a vector for each."""
    app.autogenerate("first")
    app.alembic("upgrade", "head")
    add_rows(connection)
    return connection


def add_rows(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO product (id, name, photo, look) SELECT i, 'name ' || i, i || '.jpg',"
        " l2_normalize(ARRAY[i, 1, 2]::vector)::halfvec FROM generate_series(1, 200) AS i"
    )
    connection.execute(
        "INSERT INTO imgvec.product_clip_embedding (id, embedding, version, content_hash, precision)"
        " SELECT id, l2_normalize(array_prepend(id::real, array_fill(1::real, ARRAY[255]))::vector)::halfvec, 0, '', 'fp32'"
        " FROM product"
    )


def password(connection: Connection) -> str:
    return f" password={connection.info.password}" if connection.info.password else ""


def index_definition(connection: Connection, name: str = "product_look") -> str:
    row = connection.execute(
        "SELECT pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END"
        " FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE c.relname = %s",
        [name],
    ).fetchone()
    return "" if row is None else str(row[0])


def test_autogenerate_writes_it_all_and_then_nothing_and_goes_both_ways(
    app: App, connection: Connection, another_database: str, tmp_path: Path
) -> None:
    text = app.autogenerate("first")
    assert "import pgvector.sqlalchemy" in text and "import imgvec_pg.alembic.plugin" in text
    assert re.search(
        r"op\.create_collection\('product_clip', source='product', image='photo', model='demo', dimensions=256, "
        r"has_text=True, root='/srv/photos', key=\{'id': 'bigint'\}\)",
        text,
    )
    assert (
        "op.create_hnsw_index('product_look', 'product', 'look', m=16, ef_construction=64, concurrently=False)"
        in text
    )
    assert "op.create_index" not in text and "imgvec.product_clip_embedding" not in text
    app.alembic("upgrade", "head")
    app.alembic("check")
    assert [c.name for c in find_collections(connection)] == ["product_clip"]
    add_rows(connection)
    filled = dump_schema(
        connection.info.dsn + (f" password={connection.info.password}" if connection.info.password else "")
    )
    dump_to_file(connection.info.dsn + password(connection), tmp_path / "dump")
    restore(another_database, tmp_path / "dump")
    with connect(another_database) as copy:
        found = copy.execute(
            "SELECT id FROM imgvec.near_product_clip_row(7) ORDER BY distance LIMIT 3"
        ).fetchall()
        assert len(found) == 3
    app.alembic("downgrade", "base")
    assert not find_collections(connection) and connection.execute(
        "SELECT to_regclass('product')"
    ).fetchone() == (None,)
    app.alembic("upgrade", "head")
    assert index_free(dump_schema(connection.info.dsn + password(connection))) == index_free(filled)


def index_free(dump: str) -> str:
    """Leave out what a second creation draws anew: the collection's id."""
    return re.sub(
        r"(?<=\bid = )\d+|(?<=collection_id = )\d+|(?<=VALUES \()\d+|(?<=SELECT )\d+(?=, (?:nextval|TG_RELID))"
        r"|(?<=source_is_open\()\d+",
        "N",
        dump,
    )


@pytest.mark.parametrize(
    ("old", "new", "expected", "definition"),
    [
        (
            'postgresql_using="hnsw"',
            'postgresql_using="hnsw", postgresql_with={"m": 8, "ef_construction": 32}',
            [
                "op.replace_hnsw_index('product_look', 'product', 'look', m=8, ef_construction=32, old={'m': 16, ",
                "op.replace_hnsw_index('product_look', 'product', 'look', m=16, ef_construction=64, old={'m': 8, ",
            ],
            "hnsw (look halfvec_cosine_ops) WITH (m='8', ef_construction='32')",
        ),
        (
            '"look": "halfvec_cosine_ops"',
            '"look": "halfvec_l2_ops"',
            ["opclass='halfvec_l2_ops'", "old={'opclass': 'halfvec_cosine_ops'}"],
            "hnsw (look halfvec_l2_ops)",
        ),
        (
            'postgresql_using="hnsw"',
            'postgresql_using="ivfflat"',
            ["op.create_index(", "op.drop_hnsw_index"],
            "ivfflat",
        ),
        ('sa.Index("product_look"', 'sa.Index("product_view"', ["'product_view'"], ""),
    ],
    ids=["m", "opclass", "method", "name"],
)
def test_changes_of_an_index_are_seen_and_undone(
    app: App, rows: Connection, old: str, new: str, expected: list[str], definition: str
) -> None:
    before = index_definition(rows)
    assert "hnsw (look halfvec_cosine_ops) WITH (m='16', ef_construction='64')" in before
    app.change(old, new)
    text = app.autogenerate("changed")
    assert all(part in text for part in expected), text
    app.alembic("upgrade", "head")
    assert definition in index_definition(rows) and (bool(definition) == bool(index_definition(rows)))
    app.alembic("check")
    app.alembic("downgrade", "-1")
    assert index_definition(rows) == before


def test_the_index_over_different_pictures_is_replaced_where_a_database_has_that(
    app: App, rows: Connection
) -> None:
    rows.execute(
        "INSERT INTO product (id, name, photo, look) SELECT i, 'name ' || i, i || '.jpg', p.look"
        " FROM generate_series(1001, 2100) AS i CROSS JOIN (SELECT look FROM product LIMIT 1) AS p"
    )
    rows.execute(
        "INSERT INTO imgvec.product_clip_embedding (id, embedding, version, content_hash, precision)"
        " SELECT i, e.embedding, 0, sha256('one'), 'fp32' FROM generate_series(1001, 2100) AS i"
        " CROSS JOIN (SELECT embedding FROM imgvec.product_clip_embedding LIMIT 1) AS e"
    )
    assert run(cli, ["index", "rebuild", "product_clip", "--dsn", rows.info.dsn + password(rows)]) == 0
    app.change('model="demo"', 'model="demo", m=8, ef_construction=40')
    app.autogenerate("smaller")
    for direction, options in (("upgrade", "m='8', ef_construction='40'"), ("downgrade", "m='16'")):
        app.alembic(direction, "head" if direction == "upgrade" else "-1")
        assert options in index_definition(rows, "product_clip_picture_hnsw")
        # No search would read one over the rows.
        assert index_definition(rows, "product_clip_embedding_hnsw") == ""
        assert f"m='{find_collections(rows)[0].m}'" in options
        if direction == "upgrade":
            app.alembic("check")


def test_a_change_of_a_collections_index_is_seen_built_and_registered(app: App, rows: Connection) -> None:
    app.change('model="demo"', 'model="demo", m=8, ef_construction=40')
    text = app.autogenerate("smaller")
    assert (
        "op.replace_hnsw_index('product_clip_embedding_hnsw', 'product_clip_embedding', 'embedding', schema='imgvec', m=8"
        in text
    )
    app.alembic("upgrade", "head")
    assert "m='8', ef_construction='40'" in index_definition(rows, "product_clip_embedding_hnsw")
    assert (find_collections(rows)[0].m, find_collections(rows)[0].ef_construction) == (8, 40)
    app.alembic("check")
    app.alembic("downgrade", "-1")
    assert "m='16', ef_construction='64'" in index_definition(rows, "product_clip_embedding_hnsw")
    assert (find_collections(rows)[0].m, find_collections(rows)[0].ef_construction) == (16, 64)
    printed = app.alembic("upgrade", "head", "--sql")
    run_tool(
        "psql",
        rows.info.dsn + password(rows),
        "-X",
        "-v",
        "ON_ERROR_STOP=1",
        stdin="--" + printed.rpartition("-- Running")[2],
    )
    assert "m='8', ef_construction='40'" in index_definition(rows, "product_clip_embedding_hnsw")


def test_a_change_of_the_urls_or_the_root_is_seen_made_and_undone(app: App, rows: Connection) -> None:
    app.change('root="/srv/photos"', 'root="/srv/new", url_prefixes=["https://images.example.com"]')
    text = app.autogenerate("urls")
    assert (
        "op.alter_collection('product_clip', root='/srv/new', url_prefixes=['https://images.example.com'], "
        "old={'root': '/srv/photos', 'url_prefixes': []})"
    ) in text
    assert (
        "op.alter_collection('product_clip', root='/srv/photos', url_prefixes=[], "
        "old={'root': '/srv/new', 'url_prefixes': ['https://images.example.com']})"
    ) in text
    app.alembic("upgrade", "head")
    [made] = find_collections(rows)
    assert (made.root, made.url_prefixes) == ("/srv/new", ["https://images.example.com"])
    assert rows.execute("SELECT count(*) FROM imgvec.product_clip_embedding").fetchone() == (200,)
    app.alembic("check")
    printed = app.alembic("downgrade", "head:-1", "--sql")
    app.alembic("downgrade", "-1")
    [made] = find_collections(rows)
    assert (made.root, made.url_prefixes) == ("/srv/photos", [])
    assert """SET "root" = '/srv/photos', "url_prefixes" = '{}' WHERE c.name = 'product_clip'""" in printed
    app.change(', url_prefixes=["https://images.example.com"]', ', url_prefixes=["images.example.com"]')
    with pytest.raises(UsageError, match=r'"images\.example\.com" is no beginning of URLs'):
        app.alembic("check")


def test_a_change_of_dimension_is_alembics_and_refused_by_rows_of_the_old(app: App, rows: Connection) -> None:
    app.change("HALFVEC(3)", "HALFVEC(4)")
    text = app.autogenerate("longer")
    assert "type_=pgvector.sqlalchemy" in text and "import pgvector.sqlalchemy" in text
    with pytest.raises(sa.exc.DBAPIError, match="expected 4 dimensions, not 3"):
        app.alembic("upgrade", "head")
    assert rows.execute("SELECT count(*) FROM product WHERE look IS NOT NULL").fetchone() == (200,)


def test_another_model_for_a_collection_is_refused(app: App, rows: Connection) -> None:
    app.change('model="demo"', 'model="ViT-B-32/laion2b_s34b_b79k"')
    message = (
        "collection \"product_clip\" is not as declared: model is 'demo', declared 'ViT-B-32/laion2b_s34b_b79k'; dimensions is "
        "256, declared 512; a collection's model never changes: declare one of another name"
    )
    with pytest.raises(MigrationError, match=re.escape(message)):
        app.alembic("check")
    app.change('model="ViT-B-32/laion2b_s34b_b79k"', 'model="demmo"')
    with pytest.raises(MigrationError, match="there is no model 'demmo'"):
        app.alembic("check")


REFUSED = [
    (
        "op.create_collection('x', imge='photo')",
        "op.create_collection has no option imge; expected source, image, model",
    ),
    (
        "op.create_collection('x', image='photo', model='demo')",
        'collection "x" has no source; expected all three',
    ),
    ("op.create_collection('X', image='photo')", '"X" cannot name a collection'),
    (
        "op.create_collection('x', source='public.nothing', image='photo', model='demo', root='/srv')",
        'table "public.nothing" does not exist',
    ),
    (
        "op.create_collection('product_clip', source='other', image='photo', model='demo', root='/srv')",
        'collection "product_clip" exists already, over public.product by demo; expected other by demo',
    ),
    ("op.alter_collection('nothing', root='/srv')", 'collection "nothing" does not exist'),
    (
        "op.alter_collection('product_clip', model='demo')",
        "op.alter_collection: model never changes in a collection; expected root or url_prefixes",
    ),
    (
        "op.alter_collection('product_clip')",
        "op.alter_collection: nothing is changed; expected root or url_prefixes",
    ),
    (
        "op.alter_collection('product_clip', url_prefixes=['https://'])",
        'op.alter_collection: "https://" is no beginning of URLs',
    ),
    (
        "op.create_collection('x', source='product', image='photo', model='demo', url_prefixes='http://u@a.example')",
        '"http://u@a.example" is no beginning of URLs',
    ),
    ("op.create_hnsw_index('x', 'product', 'look', m=1)", "m is 1; expected 2 to 100"),
    (
        "op.replace_hnsw_index('x', 'product', 'look', old={'name': 'y'})",
        "op.replace_hnsw_index has old=['name']; expected some of column, opclass, m, ef_construction",
    ),
    (
        "op.create_hnsw_index('product_look', 'product', 'look', m=9)",
        "an index product_look exists already: hnsw over look",
    ),
    ("op.create_collection_functions('nothing')", 'collection "nothing" does not exist'),
]


def test_what_a_migration_cannot_do_is_one_line(app: App, rows: Connection) -> None:
    engine = sa.create_engine(sqlalchemy_url(rows.info.dsn + password(rows)), poolclass=sa.NullPool)
    for statement, message in REFUSED:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection)
            with (
                Operations.context(context) as op,
                pytest.raises(MigrationError, match=f"^{re.escape(message)}") as caught,
            ):
                eval(statement, {"op": op})  # noqa: S307
            assert "\n" not in str(caught.value)
    assert len(find_collections(rows)) == 1
    app.write_revision(REFUSED[0][0])
    output, errors = app.start("upgrade", "head").communicate(timeout=900)
    assert "Traceback" not in errors
    assert " ".join(output.split()).startswith(f"FAILED: {REFUSED[0][1]}")


def test_triggers_and_functions_are_dropped_and_made_again(app: App, rows: Connection) -> None:
    def state() -> tuple[int, int]:
        [collection] = find_collections(rows)
        functions = rows.execute(
            "SELECT count(*) FROM pg_proc WHERE proname LIKE '%product_clip%' AND prorettype <> 'trigger'::regtype"
        ).fetchone()
        assert functions is not None
        return sum(triggered_tables(rows, collection).values()), functions[0]

    before = state()
    app.write_revision(
        "op.drop_collection_triggers('product_clip'); op.drop_collection_functions('product_clip')",
        "op.create_collection_functions('product_clip'); op.create_collection_triggers('product_clip')",
    )
    schema = dump_schema(rows.info.dsn + password(rows))
    app.alembic("upgrade", "head")
    assert state() == (0, 0)
    app.alembic("downgrade", "-1")
    assert state() == before == (4, 13)
    assert sorted(dump_schema(rows.info.dsn + password(rows))) == sorted(schema)


def test_printed_sql_makes_what_the_migration_makes(
    app: App, connection: Connection, database: str, another_database: str
) -> None:
    app.autogenerate("first")
    printed = app.alembic("upgrade", "head", "--sql")
    undone = app.alembic("downgrade", "head:base", "--sql")
    app.alembic("upgrade", "head")
    with connect(another_database) as other:
        migrations.upgrade(other)
    bare = dump_schema(another_database)
    run_tool("psql", another_database, "-X", "-v", "ON_ERROR_STOP=1", stdin=printed)
    assert dump_schema(another_database) == dump_schema(database)
    columns = (
        "key_columns, key_types, key_equality_schemas, path_column, content_column, watch_columns, root, url_prefixes, m,"
        " prompt"
    )
    registered = f"SELECT name, source::regclass::text, has_foreign_key, {columns} FROM imgvec.collection"
    with connect(another_database) as other:
        assert other.execute(registered).fetchall() == connection.execute(registered).fetchall()
    run_tool("psql", another_database, "-X", "-v", "ON_ERROR_STOP=1", stdin=undone)
    run_tool("psql", another_database, "-X", "-c", "DROP TABLE IF EXISTS alembic_version")
    assert dump_schema(another_database) == bare


@pytest.mark.parametrize(
    ("change", "built", "left"),
    [
        (
            ('postgresql_using="hnsw"', 'postgresql_using="hnsw", postgresql_with={"m": 8}'),
            "product_look_next",
            "product_look",
        ),
        (
            (
                'sa.Index("product_look", "look", postgresql_using="hnsw"',
                'sa.Index("product_view", "look", postgresql_using="hnsw", postgresql_with={"m": 8}',
            ),
            "product_view",
            "product_view",
        ),
    ],
    ids=["replaced", "created"],
)
def test_a_migration_that_was_killed_in_an_index_build_or_run_twice_is_repaired_by_running_it_again(
    app: App, rows: Connection, database: str, change: tuple[str, str], built: str, left: str
) -> None:
    app.change(*change)
    app.autogenerate("changed")
    first = app.alembic("current").split()[0]
    present = index_definition(rows)
    with connect(database) as holder, holder.transaction():
        # A build waits for transactions that have written the table.
        holder.execute("UPDATE product SET name = name WHERE id = 1")
        process = app.start("upgrade", "head")
        for _ in range(400):
            if "INVALID" in index_definition(rows, built):
                break
            time.sleep(0.05)
        # Searches have it all the while.
        assert index_definition(rows) == present
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=900)
        # The server goes on building for a client that is gone, until it notices; here it is told.
        rows.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE query LIKE '%CREATE INDEX CONCURRENTLY%' AND pid <> pg_backend_pid()"
        )
    if "INVALID" not in index_definition(rows, built):
        pytest.fail("the build ended before it was killed")
    assert index_definition(rows) == present
    app.alembic("upgrade", "head")
    assert index_definition(rows, left).endswith("WITH (m='8', ef_construction='64')")
    names = [
        name for name in ("product_look", "product_look_next", "product_view") if index_definition(rows, name)
    ]
    assert names == [left]
    for revision in (first, "base"):
        app.alembic("stamp", revision)
    rows.execute("ALTER TABLE product RENAME TO kept")
    with pytest.raises(
        (sa.exc.DBAPIError, MigrationError), match=r"already exists|exists already"
    ):  # Alembic's own tables are not ours to mend
        app.alembic("upgrade", "head")
    rows.execute("ALTER TABLE kept RENAME TO product")
    app.alembic("stamp", first)
    app.alembic("upgrade", "head")
    app.alembic("check")


def test_an_index_that_a_killed_migration_had_complete_takes_its_name_without_another_build(
    app: App, rows: Connection
) -> None:
    app.change('postgresql_using="hnsw"', 'postgresql_using="hnsw", postgresql_with={"m": 8}')
    app.autogenerate("changed")
    rows.execute(
        "CREATE INDEX product_look_next ON product USING hnsw (look halfvec_cosine_ops) WITH (m = 8, ef_construction = 64)"
    )
    rows.execute("DROP INDEX product_look")
    [built] = rows.execute("SELECT 'product_look_next'::regclass::oid").fetchall()
    app.alembic("upgrade", "head")
    assert rows.execute("SELECT 'product_look'::regclass::oid").fetchall() == [built]
    app.alembic("check")


def test_an_application_without_the_schema_is_told(app: App, connection: Connection) -> None:
    connection.execute("DROP SCHEMA imgvec CASCADE")
    with pytest.raises(
        MigrationError, match="the database has no schema imgvec yet; run first: imgvec migrate"
    ):
        app.alembic("check")


def test_the_librarys_schema_is_left_alone_where_all_schemas_are_compared(app: App, rows: Connection) -> None:
    env = app.folder / "alembic" / "env.py"
    env.write_text(
        env.read_text().replace("autogenerate_plugins", "include_schemas=True, autogenerate_plugins")
    )
    app.alembic("check")


def test_the_revisions_live_in_an_applications_own_tree(
    empty_database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = App(tmp_path, empty_database)
    ini = tmp_path / "alembic.ini"
    versions = migrations.versions_directory()
    ini.write_text(
        ini.read_text().replace(
            "# version_locations", f"version_locations = %(here)s/alembic/versions:{versions}\n#"
        )
    )
    app.alembic("upgrade", "imgvec@head")
    with connect(empty_database) as connection:
        assert migrations.current_revision(connection) == migrations.newest_revision()
    # What is not a revision's it sets there too; otherwise nothing is left to it.
    assert run(cli, ["migrate", "--dsn", empty_database]) == 0
    assert "cursor_tuple_fraction is 1" in capsys.readouterr().out
    assert run(cli, ["migrate", "--dsn", empty_database]) == 1
    assert (
        "belongs to the application's migrations, whose version table is alembic_version"
        in capsys.readouterr().err
    )
    app.autogenerate(
        "first", "--head", "base", "--splice", "--version-path", str(tmp_path / "alembic" / "versions")
    )
    app.alembic("upgrade", "heads")
    app.alembic("check")
    app.alembic("downgrade", "base")


def test_what_cannot_be_undone_says_so() -> None:
    with pytest.raises(
        MigrationError, match="cannot be undone without what made it; expected source, image and model"
    ):
        DropCollectionOp(CollectionSpec("x")).reverse()
    with pytest.raises(
        MigrationError, match=r'op.alter_collection\("x"\) cannot be undone; expected old=\{…\} with root'
    ):
        AlterCollectionOp("x", {"root": "/srv"}, {}).reverse()
    with pytest.raises(MigrationError, match="the index x cannot be made again; expected table_name"):
        DropHnswIndexOp(HnswIndex("x", "", "embedding")).reverse()
