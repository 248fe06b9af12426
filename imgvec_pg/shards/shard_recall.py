"""Recall over shards: each shard's answers and the merged ones against exact search, for queries that are rows of all shards."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import CollectionError, DatabaseError
from imgvec_pg.search.recall.intervals import mean_interval
from imgvec_pg.search.recall.measurements import LEAST_QUESTIONS, RecallOptions, percentiles, share_found
from imgvec_pg.shards.own_links import open_links, set_on_link
from imgvec_pg.shards.servers import dblink_schema, describe_shard
from imgvec_pg.shards.span_function import sharded_key

EXACT_SHARE = 0.6
"""Of the time, what the exact answers may take; with fewer queries than wanted, should it be too short."""
WARM_UP = 5

Answer = list[tuple[str, float]]
"""Key columns as text, and the cosine distance, nearest first."""


@dataclass(frozen=True)
class PartRecall:
    """What one shard, or all together, found of the nearest rows that are there.

    Attributes:
        shard: Its name, None of the merged answers.
        strategy: How the last answer was found: "index", or "index (3 of 3 shards)".
        recall: Mean over the queries of the share of the k nearest rows of this part that were found, exact answers counting 1;
            low and high bound it at 95 %.
        p50_ms: Time of a query as the coordinator's client sees it; p95_ms likewise.
        short: Answers with fewer rows than there are.
    """

    shard: str | None
    strategy: str
    recall: float
    low: float
    high: float
    p50_ms: float
    p95_ms: float
    short: int


@dataclass(frozen=True)
class ShardedRecall:
    """What was measured with one hnsw.ef_search of the asking session, which holds on shards whose collection is not tuned."""

    ef_search: int
    parts: list[PartRecall]


@dataclass(frozen=True)
class ExactAnswers:
    """Queries with each shard's exact answers, the query's own row left out. Times in milliseconds, of all shards at once."""

    vectors: list[str]
    keys: list[str]
    of_shards: dict[str, list[Answer]]
    p50_ms: float
    p95_ms: float


@dataclass
class _Samples:
    found: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    short: int = 0


class ShardMeter:
    """Measures one collection that spans shards, over connections of its own; made by open_meter."""

    def __init__(
        self, connection: Connection, name: str, options: RecallOptions, links: Mapping[str, str]
    ) -> None:
        self.connection = connection
        self.name = name
        self.options = options
        self.links = links
        self._ends = time.monotonic() + options.max_seconds
        self._dblink = sql.Identifier(dblink_schema(connection))
        spans = {row[0]: row for row in connection.execute(load_sql("shards/spans.sql")).fetchall()}
        _, columns, types, self._dimensions, *_ = spans[name]
        key = sharded_key(columns, types)
        self._parts = {
            "embedding_table": sql.Identifier(f"{name}_embedding"),
            "search": sql.Identifier(f"search_{name}"),
            "e_texts": sql.SQL(", ").join(
                sql.SQL("{}::pg_catalog.text").format(sql.Identifier("e", column)) for column in key.names
            ),
        }
        self._vector = {
            shard: sql.Identifier(describe_shard(connection, shard, name)["vector_schema"]) for shard in links
        }

    def session_ef_search(self) -> int:
        """Return hnsw.ef_search of this session, 1 to 1000."""
        loading = render(
            "queries/session_ef_search.sql", vector=sql.Identifier(vector_schema(self.connection))
        )
        row = self.connection.execute(loading).fetchone()
        return int(row[0]) if row else 0

    def ask_exactly(self) -> ExactAnswers:
        """Draw queries from each shard by its share of the rows, and compare all rows of all shards with each.

        Raises:
            CollectionError: No row is embedded that this role may see.
            DatabaseError: The time did not suffice for 20 exact answers, or a shard gives no answer.
        """
        drawn = self._draw()
        of_shards: dict[str, list[Answer]] = {shard: [] for shard in self.links}
        seconds: list[float] = []
        until = time.monotonic() + EXACT_SHARE * self.options.max_seconds
        for key, vector in drawn:
            if time.monotonic() > until:
                break
            began = time.monotonic()
            answers = self._ask_at_once(vector)
            seconds.append(time.monotonic() - began)
            for shard, answer in answers.items():
                of_shards[shard].append(_others(answer, key, self.options.k))
        if len(seconds) < min(LEAST_QUESTIONS, len(drawn)):
            raise DatabaseError(
                f"only {len(seconds)} of {len(drawn)} exact searches ended in {EXACT_SHARE * self.options.max_seconds:g} s; give "
                "more time with --max-seconds"
            )
        keys, vectors = ([row[part] for row in drawn[: len(seconds)]] for part in (0, 1))
        return ExactAnswers(vectors, keys, of_shards, *percentiles(seconds))

    def measure(self, exact: ExactAnswers, ef_search: int) -> ShardedRecall | None:
        """Ask each shard and all together with a setting; None when the time is over."""
        setting = {"hnsw.ef_search": str(ef_search)}
        self.connection.execute(sql.SQL("SET hnsw.ef_search = {}").format(sql.Literal(str(ef_search))))
        for link in self.links.values():
            set_on_link(self.connection, link, setting)
        k = self.options.k
        samples: dict[str | None, _Samples] = {part: _Samples() for part in (*self.links, None)}
        places = range(len(exact.keys))
        for number, place in enumerate([*places[:WARM_UP], *places]):
            if time.monotonic() > self._ends:
                return None
            wanted = {shard: answers[place] for shard, answers in exact.of_shards.items()}
            merged = sorted((row for answer in wanted.values() for row in answer), key=lambda row: row[1])[:k]
            for part, of_part in samples.items():
                began = time.monotonic()
                answer = self._search(part, exact.vectors[place])
                taken = time.monotonic() - began
                nearest = merged if part is None else wanted[part]
                if number >= min(WARM_UP, len(places)) and nearest:
                    found = _others(answer, exact.keys[place], k)
                    of_part.found.append(share_found([row[1] for row in found], [row[1] for row in nearest]))
                    of_part.short += len(found) < len(nearest)
                    of_part.seconds.append(taken)
        return ShardedRecall(
            ef_search, [self._of_part(part, each) for part, each in samples.items() if each.found]
        )

    def _of_part(self, shard: str | None, samples: _Samples) -> PartRecall:
        low, high = mean_interval(samples.found)
        return PartRecall(
            shard,
            self._strategy(shard),
            float(np.mean(samples.found)),
            low,
            high,
            *percentiles(samples.seconds),
            samples.short,
        )

    def _strategy(self, shard: str | None) -> str:
        asking = sql.SQL("SELECT imgvec.last_search_strategy(), NULL")
        rows = self.connection.execute(asking).fetchall() if shard is None else self._ask(shard, asking)
        return str(rows[0][0])

    def _draw(self) -> list[tuple[str, str]]:
        """Return keys and vectors of rows drawn at random."""
        options = self.options
        table = sql.Literal(f"imgvec.{self.name}_embedding")
        asking = render("shards/recall_rows.sql", table=table, dimensions=sql.Literal(self._dimensions))
        rows = {shard: max(int(self._ask(shard, asking)[0][0]), 1) for shard in self.links}
        drawn: list[tuple[str, str]] = []
        # Each a part by its rows, rounded so that all are the sample: of estimates a planner has of each.
        ends = [round(options.sample * end / sum(rows.values())) for end in accumulate(rows.values())]
        for (shard, number), start, end in zip(rows.items(), [0, *ends], ends, strict=False):
            wanted = max(1, end - start)
            percent = min(100.0, 100 * 10 * wanted / number)
            while True:
                values = {"percent": percent, "seed": options.seed, "sample": wanted}
                literals = {part: sql.Literal(value) for part, value in values.items()}
                found = self._ask(shard, render("shards/recall_sample.sql", **self._parts, **literals))
                if len(found) >= wanted or percent >= 100:
                    break
                percent = min(100.0, percent * 10)
            drawn += found
        if not drawn:
            raise CollectionError(
                f"collection {self.name} has no embedded rows on its shards that this role may see; run there: imgvec backfill "
                f"{self.name}"
            )
        return _mixed(drawn, options.seed)

    def _search(self, shard: str | None, vector: str) -> Answer:
        values = {"query": sql.Literal(vector), "k": sql.Literal(self.options.k + 1)}
        asking = render("shards/recall_search.sql", **self._parts, **values)
        if shard is None:
            return self.connection.execute(asking).fetchall()
        return [(key, float(distance)) for key, distance in self._ask(shard, asking)]

    def _ask_at_once(self, vector: str) -> dict[str, Answer]:
        """Return what each shard finds by comparing all rows."""
        sending = sql.SQL("SELECT {}.dblink_send_query(%s, %s)").format(self._dblink)
        for shard, link in self.links.items():
            values = {"query": sql.Literal(vector), "k": sql.Literal(self.options.k + 1)}
            asking = render("shards/recall_exact.sql", **self._parts, **values, vector=self._vector[shard])
            self.connection.execute(sending, [link, asking.as_string(self.connection)])
        reading = sql.SQL("SELECT * FROM {}.dblink_get_result(%s) AS r (key text, distance float8)").format(
            self._dblink
        )
        found: dict[str, Answer] = {}
        for shard, link in self.links.items():
            found[shard] = self.connection.execute(reading, [link]).fetchall()
            # An answer has ended when the next is empty.
            self.connection.execute(reading, [link])
        return found

    def _ask(self, shard: str, asking: sql.Composable) -> list[tuple[str, str]]:
        statement = sql.SQL("SELECT * FROM {}.dblink(%s, %s) AS r (first text, second text)").format(
            self._dblink
        )
        values = [self.links[shard], asking.as_string(self.connection)]
        return self.connection.execute(statement, values).fetchall()


@contextmanager
def open_meter(connection: Connection, name: str, options: RecallOptions) -> Iterator[ShardMeter]:
    """Give a meter of a collection that spans shards; nothing is written.

    Raises:
        DatabaseError: A shard does not answer, then and within the block, or the time was too short for one statement.
    """
    spans = {row[0]: row for row in connection.execute(load_sql("shards/spans.sql")).fetchall()}
    *_, passed, shards, _, _ = spans[name]
    settings = {"statement_timeout": f"{int(1000 * options.max_seconds)}ms"}
    for setting in passed:
        row = connection.execute("SELECT coalesce(current_setting(%s, true), '')", [setting]).fetchone()
        settings[setting] = row[0] if row else ""
    try:
        with open_links(connection, shards, "recall", settings) as links:
            yield ShardMeter(connection, name, options, links)
    except DatabaseError as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            raise DatabaseError(
                f"an answer took a shard longer than {options.max_seconds:g} s; give more time with --max-seconds"
            ) from error
        raise


def _others(answer: Sequence[tuple[str, float]], own: str, k: int) -> Answer:
    """Return the first k of an answer without the query's own row."""
    return [row for row in answer if row[0] != own][:k]


def _mixed(drawn: list[tuple[str, str]], seed: int) -> list[tuple[str, str]]:
    """Return them in random order, so that those the time suffices for are of all shards."""
    return [drawn[place] for place in np.random.default_rng(seed).permutation(len(drawn))]
