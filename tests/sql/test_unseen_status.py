"""imgvec.status and `imgvec status` tell of changes that no trigger could file, until a reconcile has found them."""

import pytest
from photostore import X, embed, make_photos, new_role, take_enqueued

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection

UNSEEN = "SELECT unseen FROM imgvec.status WHERE collection = 'photo_test'"
# What happens to the source, a statement that is not seen then, the way back, and what the note names.
DAMAGES = {
    "column renamed": ("RENAME file TO path", "path = 'new.jpg'", "RENAME path TO file", "file"),
    "key renamed": ("RENAME id TO number", "file = 'new.jpg'", "RENAME number TO id", "id "),
    "another type": (
        "ALTER file TYPE jsonb USING to_jsonb(file)",
        "file = '[]'",
        "ALTER file TYPE text USING file::text",
        "jsonb",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_no_trigger_could_file_is_told(
    connection: Connection, database: str, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    change, write, back, named = DAMAGES[damage]
    embed(connection, make_photos(connection, rows=2), {1: X, 2: X})
    take_enqueued(connection)
    assert connection.execute(UNSEEN).fetchall() == [(None,)]
    connection.execute(f"ALTER TABLE shop.photo {change}")  # type: ignore[arg-type]
    connection.execute(f"UPDATE shop.photo SET {write}")  # type: ignore[arg-type]
    [(message,)] = connection.execute(UNSEEN).fetchall()
    assert named in message
    assert run(cli, ["status", "--dsn", database]) == 0
    told = capsys.readouterr().err
    assert told.startswith("photo_test: changes of its source were not seen (") and named in told
    assert told.endswith("then: imgvec collection reconcile photo_test\n") and told.count("\n") == 1
    assert run(cli, ["status", "--json", "--dsn", database]) == 0
    assert f'"unseen": "{message[:9]}' in capsys.readouterr().out

    connection.execute(f"ALTER TABLE shop.photo {back}")  # type: ignore[arg-type]
    assert run(cli, ["collection", "reconcile", "photo_test", "--dsn", database]) == 0
    assert connection.execute(UNSEEN).fetchall() == [(None,)]
    capsys.readouterr()
    assert run(cli, ["status", "--dsn", database]) == 0
    assert "not seen" not in capsys.readouterr().err


def test_a_role_that_may_not_see_all_rows_is_not_told(connection: Connection) -> None:
    make_photos(connection, rows=2)
    connection.execute("ALTER TABLE shop.photo RENAME file TO path")
    connection.execute("UPDATE shop.photo SET path = 'new.jpg'")
    with new_role(connection, "imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON shop.photo") as reader:
        connection.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
        connection.execute(f"SET ROLE {reader}")  # type: ignore[arg-type]
        assert connection.execute(UNSEEN).fetchall() == [(None,)]
        connection.execute("RESET ROLE")
    assert connection.execute(UNSEEN).fetchall() != [(None,)]
