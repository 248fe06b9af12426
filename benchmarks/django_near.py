"""What Django's ORM adds to a search: near() against the same SQL by psycopg, and against reading as many rows.

    python benchmarks/django_near.py [--rows 20000] [--rounds 300] [--json FILE]

Medians of one run; each round asks all of them, so that noise falls on all alike. The row cost is that of the same
queryset without near(); told beside it, that of one which joins the embeddings, annotates and orders without near().
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
import numpy as np
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

from imgvec_pg.database.local_server.server import LocalServer

K, DIMENSIONS = 10, 512
MODEL = "ViT-B-32/laion2b_s34b_b79k"
"""Of so many dimensions; its weights are not loaded."""


def set_up(dsn: str) -> None:
    """Configure Django with one app, whose models are in this file."""
    parts = conninfo_to_dict(dsn)
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": parts["dbname"], "USER": parts["user"]}
    database |= {"HOST": parts["host"], "PORT": parts.get("port", "")}
    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=["imgvec_pg.django"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()


def fill(rows: int) -> Any:  # noqa: ANN401 - a model made here
    """Make table, collection, vectors and index; return the model."""
    from django.core.management import call_command
    from django.db import connection, models

    from imgvec_pg.django import ImageSearch, ImageSearchManager
    from imgvec_pg.django.connection_dsn import psycopg_connection
    from imgvec_pg.store.collection_ddl import create_collection
    from imgvec_pg.store.index.build import build_index
    from imgvec_pg.store.registry import get_collection
    from imgvec_pg.store.spec import CollectionSpec

    class Item(models.Model):
        name = models.CharField(max_length=100)
        price = models.IntegerField()
        content = models.BinaryField(null=True)
        clip = ImageSearch("content", model=MODEL)
        objects = ImageSearchManager()

        class Meta:
            app_label = "imgvec_pg"
            db_table = "item"

    call_command("migrate", verbosity=0)
    random = np.random.default_rng(1)
    vectors = random.normal(size=(rows, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE item (id bigint PRIMARY KEY, name text, price int, content bytea)")
        cursor.execute(
            f"INSERT INTO item SELECT i, 'item ' || i, i, NULL FROM generate_series(1, {rows}) AS i"
        )
    raw = psycopg_connection("default")
    request = CollectionSpec("item_clip", "item", ["content"], MODEL, DIMENSIONS, True)
    create_collection(raw, request)
    columns = "(id, embedding, version, content_hash, precision)"
    with raw.cursor() as cursor, cursor.copy(f"COPY imgvec.item_clip_embedding {columns} FROM STDIN") as copy:
        for key, vector in enumerate(vectors, 1):
            copy.write_row((key, str(vector.tolist()), 1, "", "fp32"))
    raw.execute("ANALYZE")
    build_index(raw, get_collection(raw, "item_clip"))
    return Item


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--json", type=Path, help="file for the ratios")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="imgvec-bench-") as folder:
        Path(folder).chmod(0o755)
        with LocalServer(Path(folder) / "server", settings={"fsync": "off"}, die_with_parent=True) as server:
            set_up(server.dsn())
            ratios = measure(fill(options.rows), options)
    if options.json:
        options.json.write_text(json.dumps(ratios))


def measure(item: Any, options: argparse.Namespace) -> dict[str, float]:  # noqa: ANN401
    """Time each way of asking, round by round; print medians, and return the ratios."""
    from django.db import connection
    from django.db.models import Value

    def joined() -> Any:  # noqa: ANN401
        rows = item.objects.filter(clip__isnull=False).annotate(distance=Value(0.5)).order_by("pk")
        return rows.filter(price__gt=5)[:K]

    rows_sql = item.objects.filter(price__gt=5)[:K].query.sql_with_params()
    joined_sql = joined().query.sql_with_params()
    random = np.random.default_rng(2)
    times: dict[str, list[float]] = {}
    for number in range(options.rounds + 20):
        query = random.normal(size=DIMENSIONS)
        plain = item.objects.near(query, complete=False).filter(price__gt=5)[:K]
        statement, values = plain.query.sql_with_params()
        statements = statements_of(item.objects.near(query).filter(price__gt=5)[:K])
        ways: dict[str, Callable[[], object]] = {
            "the same SQL by psycopg": lambda s=statement, v=values: by_psycopg(connection, s, v),
            "near(complete=False)": lambda q=query: list(
                item.objects.near(q, complete=False).filter(price__gt=5)[:K]
            ),
            "near()'s statements by psycopg": lambda s=statements: all_by_psycopg(connection, s),
            "near()": lambda q=query: list(item.objects.near(q).filter(price__gt=5)[:K]),
            "as many rows without near()": lambda: list(item.objects.filter(price__gt=5)[:K]),
            "those by psycopg": lambda: by_psycopg(connection, *rows_sql),
            "rows joined and annotated": lambda: list(joined()),
            "the joined by psycopg": lambda: by_psycopg(connection, *joined_sql),
        }
        for name, ask in ways.items():
            began = time.perf_counter()
            ask()
            if number >= 20:
                times.setdefault(name, []).append(time.perf_counter() - began)
    medians = {name: statistics.median(found) * 1000 for name, found in times.items()}
    row_costs = {
        "the ORM's own row cost": medians["as many rows without near()"] - medians["those by psycopg"],
        "what joining and annotating costs in Django": medians["rows joined and annotated"]
        - medians["the joined by psycopg"],
    }
    print(f"{options.rows:,} rows of {DIMENSIONS} dimensions, k = {K}, medians of {options.rounds} rounds")
    for name, median in medians.items():
        print(f"  {name:<31} {median:8.2f} ms")
    ratios: dict[str, float] = {}
    for name, base in (
        ("near(complete=False)", "the same SQL by psycopg"),
        ("near()", "near()'s statements by psycopg"),
        ("near()", "the same SQL by psycopg"),
    ):
        for what, cost in row_costs.items():
            told = f"{name} beyond {what}, over {base}"
            ratios[told] = (medians[name] - cost) / medians[base]
            print(f"  {told}: {ratios[told]:.2f}")
    return ratios


def statements_of(queryset: Any) -> list[tuple[str, Any]]:  # noqa: ANN401
    """Return what evaluating it sends to PostgreSQL: near() asks what it must know, sets the scan, and then searches."""
    from django.db import connection

    sent: list[tuple[str, Any]] = []

    def note(execute: Callable[..., Any], statement: str, values: Any, many: bool, context: Any) -> Any:  # noqa: ANN401
        sent.append((statement, values))
        return execute(statement, values, many, context)

    with connection.execute_wrapper(note):
        list(queryset)
    return sent


def all_by_psycopg(connection: Any, statements: list[tuple[str, Any]]) -> None:  # noqa: ANN401
    """Run statements in one transaction on Django's own psycopg connection."""
    with connection.connection.transaction():
        for statement, values in statements:
            by_psycopg(connection, statement, values)


def by_psycopg(connection: Any, statement: str, values: Any) -> object:  # noqa: ANN401
    """Run a statement on Django's own psycopg connection."""
    return connection.connection.execute(statement, values).fetchall()


if __name__ == "__main__":
    main()
