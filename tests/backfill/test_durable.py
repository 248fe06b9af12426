"""What `imgvec backfill` reports is on the disk."""

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.transactions import flush_commits

LAG = "SELECT pg_wal_lsn_diff(%s, pg_current_wal_flush_lsn())"


def commit_without_waiting(connection: Connection) -> str:
    """Return where in the log a commit ends that is not on the disk yet; the server writes by itself now and then."""
    connection.execute("SET synchronous_commit = off")
    for _ in range(20):
        connection.execute("INSERT INTO note VALUES (1)")
        row = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
        assert row is not None
        if behind(connection, row[0]) > 0:
            return str(row[0])
    raise AssertionError("each commit was on the disk at once")


def behind(connection: Connection, place: str) -> int:
    row = connection.execute(LAG, [place]).fetchone()
    assert row is not None
    return int(row[0])


def test_commits_are_on_the_disk_afterwards(connection: Connection) -> None:
    connection.execute("CREATE TABLE note (n integer)")
    place = commit_without_waiting(connection)
    flush_commits(connection)
    assert behind(connection, place) <= 0
    assert connection.execute("SHOW synchronous_commit").fetchone() == ("off",)
