"""Words on a streaming standby: what is cached is answered there, and what is not is an error that says so."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.demo import shop as demo_shop
from imgvec_pg.store.setup.text_relay import install_relay
from searching.target import Target

WORDS = 50
NEAR = "SELECT id, distance FROM imgvec.near_product_demo_text(%s) ORDER BY distance LIMIT 10"


def measure() -> Iterator[Target]:
    """Ask a primary for words while its worker runs, and the standby for the same and for others."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
    from standby import await_replay, connect_soon, run_primary_and_standby
    from words import process

    photos = make_temporary_directory("imgvec-photos-")
    try:
        with run_primary_and_standby() as (primary, standby_dsn):
            connect_soon(standby_dsn).close()
            products, arrival = demo_shop.unpack_photos(photos, None)
            dsn = demo_shop.create_database(primary)
            with connect(dsn) as connection:
                demo_shop.fill_shop(connection, products, arrival)
                migrations.upgrade(connection)
                install_relay(connection)
                demo_shop.open_collection(connection, photos)
                with process(dsn, "backfill", "product_demo") as backfill:
                    backfill.wait()
                known = [f"number {n} red fruit" for n in range(WORDS)]
                with process(dsn, "worker", "product_demo"):
                    connection.execute("SET imgvec.text_timeout = '30 s'")
                    answers = [connection.execute(NEAR, [words]).fetchall() for words in known]
                    name = connection.info.dbname
                    with connect(make_conninfo(standby_dsn, dbname=name)) as standby:
                        await_replay(connection, standby)
                        same = [
                            standby.execute(NEAR, [words]).fetchall() == answer
                            for words, answer in zip(known, answers, strict=True)
                        ]
                        refused = [refuses(standby, f"number {n} blue fruit") for n in range(WORDS)]
    finally:
        shutil.rmtree(photos, ignore_errors=True)
    yield Target("standby", "cached words: share answered as on the primary", sum(same) / WORDS, 1.0, False)
    yield Target(
        "standby", "a miss: share that says it is a standby, with a hint", sum(refused) / WORDS, 1.0, False
    )


def refuses(standby: Connection, words: str) -> bool:
    """Say whether words that are not cached are refused as those of a standby, with what to do."""
    try:
        standby.execute(NEAR, [words])
    except psycopg.errors.ReadOnlySqlTransaction as error:
        return "is a standby" in str(error) and "on the primary" in (error.diag.message_hint or "")
    return False
