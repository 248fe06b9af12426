"""The commands that look at a collection, churn by rows, VACUUM, and a rebuild beside."""

import numpy as np
import psycopg
from pgvector import HalfVector

from millions.run import NAME, Run
from millions.searching import SEARCH, K, ask, by_sql, show, strategy
from millions.vectors import UPDATE_BLOCK, Ids, similarities

COMMANDS = {
    "status": ("status",),
    "verify": ("verify", NAME),
    "recall": ("recall", NAME),
    "tune": ("index", "tune", NAME, "--recall", "0.95", "--dry-run"),
    "doctor": ("doctor",),
    "index show": ("index", "show", NAME),
}
DELETED, UPDATED = 50, 51
"""Of a hundred ids those that are deleted and changed."""
BATCH = 256
"""Rows changed in one transaction."""


def look(run: Run, when: str, *names: str) -> None:
    """Run commands and print how long each takes, and what it said last."""
    for name in names:
        with_use = run.command(*COMMANDS[name])
        run.figures.setdefault("commands", {})[f"{name} {when}"] = {
            "code": with_use.code,
            "seconds": with_use.seconds,
            "peak_bytes": with_use.peak,
            "text": with_use.text,
        }
        run.say(
            f"    imgvec {name:<12} {when:<18} {with_use.seconds:>7.1f} s, {with_use.peak >> 20} MB, exit code {with_use.code}: "
            f"{with_use.last_line[:150]}"
        )


def churn(run: Run) -> None:
    """Delete one row of a hundred and change the vector of another one, under the index, then search."""
    connection = run.connection
    ids = np.arange(1, run.rows + 1, dtype=np.int64)
    deleted, updated = ids[ids % 100 == DELETED], ids[ids % 100 == UPDATED]
    with run.measured("delete", "DELETE of 1 % of the source's rows", len(deleted)):
        for first in range(0, len(deleted), BATCH):
            connection.execute(
                "DELETE FROM item WHERE id = ANY(%s)", [deleted[first : first + BATCH].tolist()]
            )
    vectors = run.generator.block(UPDATE_BLOCK, len(updated))
    statement = (
        "UPDATE imgvec.item_embedding AS e SET embedding = u.embedding"
        " FROM unnest(%s::bigint[], %s::halfvec[]) AS u (id, embedding) WHERE e.id = u.id"
    )
    with run.measured("update", "UPDATE of 1 % of the vectors, by 256", len(updated)):
        for first in range(0, len(updated), BATCH):
            chunk = [HalfVector(vector).to_text() for vector in vectors[first : first + BATCH]]
            connection.execute(statement, [updated[first : first + BATCH].tolist(), chunk])
    run.connection.execute("ANALYZE imgvec.item_embedding")
    nearest = run.nearest["all"]
    truth = nearest.first(K, without=np.concatenate([deleted, updated]))
    truth = with_changed(run, truth, updated, vectors)
    search_again(run, "after churn", truth)
    vacuum(run, len(deleted) + len(updated))
    search_again(run, "after vacuum", truth)


def with_changed(run: Run, truth: list[set[int]], updated: Ids, vectors: np.ndarray) -> list[set[int]]:
    """Return the ten nearest of what was left and what was changed."""
    nearest = run.nearest["all"]
    changed = similarities(nearest.queries, vectors)
    found = []
    for place, left in enumerate(truth):
        known = dict(zip(nearest.ids[place].tolist(), nearest.similarities[place].tolist(), strict=True))
        top = np.argsort(-changed[place])[:K]
        together = {each: known[each] for each in left} | {
            int(updated[i]): float(changed[place][i]) for i in top
        }
        found.append(set(sorted(together, key=lambda each: -together[each])[:K]))
    return found


def search_again(run: Run, when: str, truth: list[set[int]]) -> None:
    """Search as at first."""
    call, queries = by_sql(run, SEARCH), list(run.nearest["all"].queries)
    ask(call, queries)
    show(run, when, f"search_*, {when}", truth, ask(call, queries), strategy(run))


def vacuum(run: Run, dead: int) -> None:
    """VACUUM the embedding table, for a bounded time."""
    run.connection.execute("SELECT set_config('statement_timeout', %s, false)", [f"{run.vacuum_minutes}min"])
    try:
        with run.measured("vacuum", f"VACUUM, {dead:,} dead rows", dead):
            run.connection.execute("VACUUM imgvec.item_embedding")
    except psycopg.errors.QueryCanceled:
        run.say(f"    not done: VACUUM was ended after {run.vacuum_minutes} minutes")
        run.figures["vacuum"]["ended_after_minutes"] = run.vacuum_minutes
    finally:
        run.connection.execute("RESET statement_timeout")
