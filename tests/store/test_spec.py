"""One CollectionSpec: whichever way a collection is declared, every field of it arrives in the database and comes back."""

import copy
import io
import json
import pickle
import textwrap
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations, ops
from ormshop import sqlalchemy_url
from specs import BY_TENANT, LISTED, SPEC, TABLE, TENANTS, registered, sayable
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import imgvec_pg.alembic.compare  # noqa: F401 - with the renderers
from imgvec_pg.alembic.alter_collection import AlterCollectionOp
from imgvec_pg.alembic.collection_ops import CreateCollectionOp
from imgvec_pg.alembic.index_ops import ReplaceHnswIndexOp
from imgvec_pg.alembic.migration_errors import MigrationError
from imgvec_pg.cli.commands.collection.create import create
from imgvec_pg.cli.commands.collection.switch_target import choose_successor
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.sqlalchemy import CollectionSpec, EmbeddingMixin
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.collection_plan import NOT_COMPARED, differences, tell_remedy
from imgvec_pg.store.registry import get_collection

PLAIN = SPEC


def by_command(database: str) -> None:
    options: dict[str, list[str]] = {
        "source": ["--source", "shop.product"],
        "image": ["--image", "photo", "--image", "scan"],
        "model": ["--model", "demo"],
        "root": ["--root", "/srv/photos"],
        "url_prefixes": ["--url", "https://images.example.com", "--url", "s3://shop-photos"],
        "watch": ["--watch", "crop"],
        "key": ["--key", "id"],
        "foreign_key": ["--no-fk"],
        "m": ["--m", "8"],
        "ef_construction": ["--ef-construction", "40"],
        "quantization": ["--quantize", "bit"],
        "partitions": ["--partitions", "4"],
        "prompt": ["--prompt", "a photo of {}"],
        "bands": ["--bands", "4,3,2"],
    }
    if SPEC is not PLAIN:
        options.pop("quantization")
        options |= {"index_method": ["--method", "ivfflat"], "lists": ["--lists", "7"]}
    if SPEC is BY_TENANT:
        options |= {"key": ["--key", "shop", "--key", "id"], "partition_by": ["--partition-by", "shop"]}
    said = [word for words in options.values() for word in words]
    assert run(cli, ["collection", "create", SPEC.name, *said, "--dsn", database]) == 0
    assert {parameter.name for parameter in create.params} >= sayable("imgvec collection create")


def by_operation(database: str) -> None:
    """Run op.create_collection(…) as autogenerate writes it."""
    text = rendered([CreateCollectionOp(SPEC)])
    run_operations(database, text)


def by_printed_sql(database: str) -> None:
    output = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        opts={"as_sql": True, "output_buffer": output},
    )
    with Operations.context(context) as op:
        exec(rendered([CreateCollectionOp(SPEC)]), {"op": op})  # noqa: S102
    with connect(database) as connection:
        connection.execute(output.getvalue().encode())


def declared(spec: CollectionSpec) -> tuple[sa.MetaData, type[EmbeddingMixin]]:
    """Return the metadata of a class that declares a spec, and the class."""

    class Base(DeclarativeBase): ...

    class Product(Base):
        __tablename__ = "product"
        __table_args__ = {"schema": "shop"}  # noqa: RUF012
        if spec.partition_by is not None:
            shop: Mapped[int] = mapped_column(sa.Integer, primary_key=True)
        id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
        photo: Mapped[str | None]
        scan: Mapped[bytes | None]
        crop: Mapped[str | None]

    class ProductAll(EmbeddingMixin, Base):
        __source__ = Product
        __collection__ = spec

    return Base.metadata, ProductAll


def by_sqlalchemy(database: str) -> None:
    """Declare a class and run what autogenerate writes for it; the second time it finds nothing."""
    metadata, made = declared(SPEC)
    assert made.__table__.info["imgvec_spec"] == SPEC  # type: ignore[attr-defined]
    found = collection_operations(database, metadata)
    assert [type(operation) for operation in found] == [CreateCollectionOp]
    run_operations(database, rendered(found))
    assert collection_operations(database, metadata) == []


def collection_operations(database: str, metadata: sa.MetaData) -> list[ops.MigrateOperation]:
    """Return what autogenerate finds beside Alembic's own comparison."""
    with engine_of(database).connect() as connection:
        options = {
            "target_metadata": metadata,
            "autogenerate_plugins": ["alembic.autogenerate.*", "imgvec_pg"],
        }
        script = produce_migrations(MigrationContext.configure(connection, opts=options), metadata)
    assert script.upgrade_ops is not None
    # The table is in another schema than the ones it compares, so Alembic itself would create it.
    return [operation for operation in script.upgrade_ops.ops if not isinstance(operation, ops.CreateTableOp)]


def rendered(operations: list[ops.MigrateOperation]) -> str:
    return textwrap.dedent(render_python_code(ops.UpgradeOps(operations)).replace("# ###", "    # ###"))


def run_operations(database: str, text: str) -> None:
    with (
        engine_of(database).begin() as connection,
        Operations.context(MigrationContext.configure(connection)) as op,
    ):
        exec(text, {"op": op})  # noqa: S102


def engine_of(database: str) -> sa.Engine:
    return sa.create_engine(sqlalchemy_url(database), poolclass=sa.NullPool)


SPLIT: dict[str, Any] = {"partitions": 0, "index_method": "hnsw", "lists": None}
WAYS: dict[str, Callable[[str], None]] = {
    "imgvec collection create": by_command,
    "op.create_collection": by_operation,
    "alembic upgrade --sql": by_printed_sql,
    "__collection__": by_sqlalchemy,
}
"""ImageSearch's way is walked in tests/django, in a project of Django's."""


def test_no_field_of_the_spec_of_these_tests_has_its_default() -> None:
    plain = CollectionSpec("plain")
    default = {f.name: getattr(plain, f.name) for f in fields(CollectionSpec)}
    assert [
        name for name, value in default.items() if value in (getattr(SPEC, name), getattr(BY_TENANT, name))
    ] == ["quantization", "index_method", "lists", "partition_by"]
    assert [
        name for name, value in default.items() if getattr(SPEC, name) == getattr(BY_TENANT, name) == value
    ] == []


@pytest.mark.parametrize("way", WAYS)
def test_every_field_arrives_in_the_database(way: str, connection: Connection, database: str) -> None:
    connection.execute(TABLE)
    WAYS[way](database)
    assert registered(connection) == vars(SPEC)


@pytest.mark.parametrize("way", WAYS)
def test_a_division_by_tenant_arrives(
    way: str, connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "SPEC", BY_TENANT)
    connection.execute(TENANTS)
    WAYS[way](database)
    assert registered(connection) == vars(BY_TENANT)
    # Without hash partitions the one of small tenants is made, whichever way.
    if way == "op.create_collection":
        run_operations(database, rendered([CreateCollectionOp(replace(BY_TENANT, name="split", **SPLIT))]))
        assert get_collection(connection, "split").is_split_by_tenant
        assert connection.execute(
            "SELECT to_regclass('imgvec.split_embedding_0') IS NOT NULL"
        ).fetchone() == (True,)


@pytest.mark.parametrize("way", WAYS)
def test_the_options_of_another_index_method_arrive(
    way: str, connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "SPEC", LISTED)
    connection.execute(TABLE)
    WAYS[way](database)
    assert registered(connection) == vars(LISTED)


def test_show_prints_every_field_and_the_spec_can_be_read_from_it(
    connection: Connection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connection.execute(TABLE)
    create_collection(connection, SPEC)
    assert run(cli, ["collection", "show", SPEC.name, "--json", "--dsn", database]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown.keys() > sayable("imgvec collection show --json")
    assert CollectionSpec(**{name: shown[name] for name in vars(SPEC)}) == SPEC
    connection.execute("DROP TABLE shop.product CASCADE")
    assert run(cli, ["collection", "show", SPEC.name, "--json", "--dsn", database]) == 0
    assert json.loads(capsys.readouterr().out)["source"] is None


def test_a_successor_keeps_every_field_but_those_of_its_model(connection: Connection) -> None:
    connection.execute(TABLE)
    present = create_collection(connection, SPEC)
    plan = choose_successor(connection, present, "ViT-B-32/laion2b_s34b_b79k", "product", None)
    assert plan.spec is not None
    made = get_collection(connection, create_collection(connection, plan.spec).name)
    own = {"name": "product_vit_b_32", "model": "ViT-B-32/laion2b_s34b_b79k", "dimensions": 512}
    assert vars(made.spec()) == {**vars(SPEC), **own}


PRESENT = replace(SPEC, quantization=None)
OTHERWISE: dict[str, tuple[object, object]] = {
    "source": ("shop.scan", "imgvec collection drop product_all"),
    "image": ("photo", "imgvec collection drop product_all"),
    "model": ("ViT-B-32/laion2b_s34b_b79k", "imgvec collection switch ALIAS --to MODEL"),
    "dimensions": (128, "imgvec collection switch ALIAS --to MODEL"),
    "has_text": (False, "imgvec collection switch ALIAS --to MODEL"),
    "root": ("/srv/new", AlterCollectionOp("product_all", {"root": "/srv/new"}, {"root": "/srv/photos"})),
    "url_prefixes": (
        "https://images.example.com",
        AlterCollectionOp(
            "product_all",
            {"url_prefixes": ["https://images.example.com"]},
            {"url_prefixes": ["https://images.example.com", "s3://shop-photos"]},
        ),
    ),
    "watch": ((), "imgvec collection drop product_all"),
    "key": ("crop", "imgvec collection drop product_all"),
    "foreign_key": (True, "imgvec collection drop product_all"),
    "m": (16, ("m", 8, 16)),
    "ef_construction": (64, ("ef_construction", 40, 64)),
    "quantization": ("bit", "imgvec index rebuild product_all --quantize bit"),
    "index_method": ("ivfflat", "imgvec index rebuild product_all --method ivfflat"),
    "partitions": (0, "imgvec collection drop product_all"),
    "partition_by": ("id", "imgvec collection drop product_all"),
    "prompt": ("{}", "imgvec collection drop product_all"),
    "bands": ((8, 4, 3), "imgvec collection switch ALIAS --bands 8,4,3"),
}
"""For each field another value than that of PRESENT, and what autogenerate makes of it: an operation, the option of an
index that one changes, or the command that its one line names."""


def test_every_field_is_compared_or_has_a_reason_not_to_be() -> None:
    # Lists are of IVFFlat, and PRESENT is not.
    assert differences(LISTED, replace(LISTED, lists=9)) == {"lists": (7, 9)}
    assert tell_remedy("x", {"lists": (7, 9)}) == "run first: imgvec index rebuild x --lists 9"
    compared = {"lists", *OTHERWISE, *NOT_COMPARED}
    assert compared == {field.name for field in fields(CollectionSpec)}
    assert OTHERWISE.keys().isdisjoint(NOT_COMPARED)
    for name, (value, _) in OTHERWISE.items():
        [(changed, pair)] = differences(PRESENT, replace(PRESENT, **{name: value})).items()  # type: ignore[arg-type]
        assert (changed, pair[0]) == (name, getattr(PRESENT, name))
    assert differences(PRESENT, replace(PRESENT, name="another")) == {}


@pytest.mark.parametrize("field", OTHERWISE)
def test_autogenerate_is_not_silent_about_any_field(
    field: str, connection: Connection, database: str
) -> None:
    connection.execute(TABLE)
    connection.execute("CREATE TABLE shop.scan (id bigint PRIMARY KEY, photo text, scan bytea, crop text)")
    create_collection(connection, PRESENT)
    value, expected = OTHERWISE[field]
    metadata, _ = declared(replace(PRESENT, **{field: value}))  # type: ignore[arg-type]
    if isinstance(expected, str):
        with pytest.raises(MigrationError) as caught:
            collection_operations(database, metadata)
        message = str(caught.value)
        wanted = getattr(replace(PRESENT, **{field: value}), field)  # type: ignore[arg-type]
        # Where the database quotes every name (tests/support/odd_settings.py), what is there is told with quotes.
        there = f"{field} is {getattr(PRESENT, field)!r}, declared {wanted!r}"
        assert there in message or there in message.replace('"', "")
        assert expected in message and "\n" not in message
        return
    [operation] = collection_operations(database, metadata)
    if isinstance(expected, AlterCollectionOp):
        assert operation.to_diff_tuple() == expected.to_diff_tuple()
        run_operations(database, rendered([operation]))
        assert collection_operations(database, metadata) == []
    else:
        assert isinstance(operation, ReplaceHnswIndexOp)
        name, old, new = expected  # type: ignore[misc]
        assert (getattr(operation.old, name), getattr(operation.index, name)) == (old, new)


def test_a_root_or_urls_that_are_no_longer_declared_are_withdrawn(
    connection: Connection, database: str
) -> None:
    connection.execute(TABLE)
    create_collection(connection, PRESENT)
    for withdrawn in ({"root": None}, {"url_prefixes": ()}):
        metadata, _ = declared(replace(PRESENT, **withdrawn))  # type: ignore[arg-type]
        [operation] = collection_operations(database, metadata)
        assert isinstance(operation, AlterCollectionOp)
        assert operation.settings == ({"root": None} if "root" in withdrawn else {"url_prefixes": []})
        run_operations(database, rendered([operation]))
        assert collection_operations(database, metadata) == []
        run_operations(database, rendered([operation.reverse()]))
    metadata, _ = declared(replace(PRESENT, root=None, url_prefixes=()))
    with pytest.raises(MigrationError, match=r'column "photo" holds paths; say which folder'):
        collection_operations(database, metadata)
    # Over bytes alone both mean nothing.
    bytes_only = replace(PRESENT, name="product_scan", image="scan")
    create_collection(connection, bytes_only)
    metadata, _ = declared(replace(bytes_only, root=None, url_prefixes=()))
    [operation] = collection_operations(database, metadata)
    run_operations(database, rendered([operation]))
    assert collection_operations(database, metadata) == []


def test_what_means_the_same_is_no_difference(connection: Connection, database: str) -> None:
    connection.execute(TABLE)
    create_collection(connection, PRESENT)
    same = replace(
        PRESENT,
        source=None,
        image=("scan", "photo"),
        watch=("photo", "crop"),
        key=(),
        url_prefixes=PRESENT.url_prefixes[::-1],
        dimensions=None,
        has_text=None,
    )
    metadata, _ = declared(same)
    assert collection_operations(database, metadata) == []


def test_a_source_that_cannot_be_looked_up_is_one_line(connection: Connection, database: str) -> None:
    connection.execute(TABLE)
    create_collection(connection, PRESENT)
    metadata, _ = declared(replace(PRESENT, source="shop.product.photo.x"))
    with pytest.raises(MigrationError, match=r"'shop\.product\.photo\.x', cannot be looked up") as caught:
        collection_operations(database, metadata)
    assert "\n" not in str(caught.value)


def test_a_collection_over_a_dropped_table_is_not_as_declared(connection: Connection, database: str) -> None:
    connection.execute(TABLE)
    create_collection(connection, PRESENT)
    connection.execute("DROP TABLE shop.product CASCADE")
    metadata, _ = declared(PRESENT)
    with pytest.raises(MigrationError, match=r"source is None, declared 'shop\.product'; .*collection drop"):
        collection_operations(database, metadata)


def test_autogenerate_does_not_replace_an_index_over_bits_by_one_over_vectors(
    connection: Connection, database: str
) -> None:
    connection.execute(TABLE)
    create_collection(connection, SPEC)
    metadata, _ = declared(replace(SPEC, m=16))
    with pytest.raises(MigrationError, match=r"imgvec index rebuild product_all --m 16$"):
        collection_operations(database, metadata)
    command = ["index", "rebuild", SPEC.name, "--m", "16", "--dsn", database]
    assert run(cli, command) == 0
    assert collection_operations(database, metadata) == []
    metadata, _ = declared(replace(SPEC, m=24, ef_construction=48, quantization=None))
    rebuild = "index rebuild product_all --m 24 --ef-construction 48 --quantize none"
    with pytest.raises(MigrationError, match=rebuild):
        collection_operations(database, metadata)
    assert run(cli, [*rebuild.split(), "--dsn", database]) == 0
    assert collection_operations(database, metadata) == []


def test_a_spec_is_hashed_and_copied_by_its_values() -> None:
    assert (
        len({SPEC, replace(SPEC), replace(SPEC, key={"id": "bigint"}), replace(SPEC, key={"id": "int"})}) == 2
    )
    assert hash(replace(SPEC, key={"a": None, "b": None})) == hash(replace(SPEC, key=["b", "a"]))
    for copied in (copy.deepcopy(SPEC), pickle.loads(pickle.dumps(SPEC)), CollectionSpec(**vars(SPEC))):  # noqa: S301
        assert copied == SPEC and hash(copied) == hash(SPEC)
    with pytest.raises(TypeError):
        SPEC.key["id"] = "int"  # type: ignore[index]


def test_a_name_alone_stands_for_one() -> None:
    spec = CollectionSpec(
        "x", image=["photo"], watch="crop", url_prefixes="https://a.example", key=["id", "no"]
    )
    assert (spec.image, spec.watch, spec.url_prefixes) == ("photo", ("crop",), ("https://a.example",))
    assert spec.key == {"id": None, "no": None}
    assert spec == replace(spec, image="photo", key={"id": None, "no": None})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "Bad"}, '"Bad" cannot name a collection'),
        ({"prompt": "a photo"}, "the prompt 'a photo' has no place for the words"),
        ({"m": 1}, "m is 1; expected 2 to 100"),
        ({"m": 8, "ef_construction": 15}, "ef_construction is 15; expected 16 (2 * m) to 1000"),
        ({"dimensions": 4001, "model": "ours"}, 'model "ours" gives 4,001 dimensions'),
        ({"quantization": "int8"}, "quantization is 'int8'; expected bit, or None"),
        ({"partitions": 1025}, "partitions is 1025; expected 0 to 1,024"),
        ({"bands": (4, 3)}, "bands 4,3 are 2; expected three different numbers from 1"),
        ({"bands": (4, 3, 4)}, "bands 4,3,4 have one twice; expected three different numbers"),
        ({"bands": (0, 1, 2)}, "bands 0,1,2 are not all between 1 and 65535"),
        ({"bands": (1, 2, 65_536)}, "bands 1,2,65536 are not all between 1 and 65535"),
        ({"bands": "4,3,2"}, "bands='4,3,2' cannot be used for a collection: it has the wrong type"),
        ({"bands": 4}, "bands=4 cannot be used for a collection: it has the wrong type"),
        ({"partitions": "4"}, "partitions='4' cannot be used for a collection: it has the wrong type"),
        ({"m": 16.5}, "m=16.5 cannot be used for a collection: it has the wrong type"),
        ({"name": None}, "name=None cannot be used for a collection: it has the wrong type; expected text"),
        ({"prompt": None}, "prompt=None cannot be used for a collection: it has the wrong type"),
        (
            {"root": Path("/srv")},
            "root=PosixPath('/srv') cannot be used for a collection: it has the wrong type",
        ),
        ({"foreign_key": "no"}, "foreign_key='no' cannot be used for a collection: it has the wrong type"),
        ({"watch": 5}, "watch=5 cannot be used for a collection: it has the wrong type"),
        (
            {"image": ["photo", 5]},
            "image=['photo', 5] cannot be used for a collection: it has the wrong type",
        ),
        ({"key": {"id": 5}}, "key={'id': 5} cannot be used for a collection: it has the wrong type"),
        ({"url_prefixes": 5}, "url_prefixes=5 cannot be used for a collection: it has the wrong type"),
        ({"url_prefixes": ["images.example.com"]}, '"images.example.com" is no beginning of URLs'),
        ({"url_prefixes": ["ftp://a.example"]}, '"ftp://a.example" is no beginning of URLs'),
        ({"url_prefixes": "https://a.example/?x"}, '"https://a.example/?x" is no beginning of URLs'),
        ({"url_prefixes": [7]}, "7 is no beginning of URLs"),
    ],
)
def test_what_cannot_be_used_is_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        CollectionSpec(**{"name": "x", **values})  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_column_with_paths_needs_a_root_or_urls(connection: Connection) -> None:
    connection.execute(TABLE)
    bare = CollectionSpec("x", "shop.product", "photo", "demo")
    with pytest.raises(UsageError, match=r'"photo" holds paths.*root=.*url_prefixes='):
        create_collection(connection, bare)
    with pytest.raises(UsageError, match='collection "x" has no source and no model'):
        create_collection(connection, CollectionSpec("x", image="photo"))
    with pytest.raises(CollectionError, match='has no column "price"; it has: id, photo, scan, crop'):
        create_collection(connection, replace(bare, root="/srv", watch="price"))
    made = create_collection(connection, replace(bare, url_prefixes="https://images.example.com"))
    assert (made.root, made.url_prefixes) == (None, ["https://images.example.com"])
