"""Recall of the index: its answers against exact search, for queries that are rows of the collection."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg

from imgvec_pg.database.connect import Connection, one_line, vector_schema
from imgvec_pg.database.explain import has_ordered_scan
from imgvec_pg.database.index_methods import ivfflat
from imgvec_pg.database.index_methods.hnsw import BIT_LADDER
from imgvec_pg.database.index_methods.methods import index_method
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import CollectionError, DatabaseError
from imgvec_pg.search.code_of_others import refuse_code_of_others
from imgvec_pg.search.error_mapping import condition_error
from imgvec_pg.search.query_types import RowKey
from imgvec_pg.search.recall.intervals import mean_interval
from imgvec_pg.search.recall.measurements import (
    LEAST_QUESTIONS,
    Exact,
    RecallOptions,
    RecallQuery,
    Setting,
    percentiles,
    share_found,
)
from imgvec_pg.search.recall.statements import RecallSql
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.ddl import index_states, require_large_tenants, running_build
from imgvec_pg.store.search_functions import BURST_DISTANCE

EXACT_SHARE = 0.6
"""Of the time, what the exact answers may take; with fewer queries than wanted, should it be too short."""
ALONE_SHARE, LEAST_ALONE = 0.1, 3
"""Of that time, after which exact answers come for many queries in one scan; at least so many are asked for alone before."""
FIRST_CHUNK, MOST_TOGETHER, CHUNK_SHARE = 20, 500, 0.8
"""Queries of the first such scan and of any, and the share of the time left that a scan is planned to take."""
WARM_UP = 20
BURST_DRAWS, LEAST_BURST_ROWS = 5, 5
"""Rows looked at for each query wanted, and how many in bursts are worth a figure of their own."""
BURST_SEARCH_SHARE = 0.1
"""Of the time, what looking for them may take, and what their exact answers."""


class RecallMeter:
    """Measures one collection. Each query is a short read-only transaction of its own, so nothing is held back."""

    def __init__(self, connection: Connection, collection: Collection, options: RecallOptions) -> None:
        self.connection = connection
        self.collection = collection
        self.options = options
        self.sql = RecallSql(collection, vector_schema(connection), options.where)
        self._ends = time.monotonic() + options.max_seconds
        states = index_states(connection, collection)
        require_large_tenants(collection, states)
        # What is missing, else the parent of partitions, or the table itself.
        self._state = next((state for state in states if not state.is_valid), states[-1])
        self.method = index_method(self._state.method or "hnsw")
        self.lists = self._state.lists or 1

    def check(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            CollectionError: There is no valid index, or one is being built.
            UsageError: The condition cannot be used.
        """
        try:
            refuse_code_of_others(self.connection, self.collection, self.options.where)
        except psycopg.Error as error:
            raise condition_error(error, self.collection, str(self.options.where)) from error
        name = self.collection.name
        build = running_build(self.connection, self.collection)
        if self._state.is_valid:
            self.options.require_settings(name, self.method, is_quantized=self.sql.is_quantized)
            return
        if build is not None:
            raise CollectionError(
                f"the index of {name} is being built ({build.phase}); measure when it is ready: imgvec index show {name}"
            )
        raise CollectionError(
            f"collection {name} has no valid index, so every search compares all rows; build it with: "
            f"imgvec index create {name}"
        )

    def ladder(self) -> list[int]:
        """Return the settings to measure: as asked for, or steps from the least that a search for k rows sets."""
        if self.method.tuned != "ef_search":
            asked = self.options.probes or self.method.steps(self.options.k, self.lists)
            return sorted({min(value, self.lists) for value in asked})
        least = self.sql.least_ef_search(self.options.k)
        usual = BIT_LADDER if self.sql.is_quantized else self.method.steps(self.options.k, self.lists)
        steps = self.options.ef_searches or usual
        return sorted({max(step, least) for step in steps})

    def ask_exactly(self) -> Exact:
        """Draw the queries and answer them without the index, as many as the time allows.

        Raises:
            CollectionError: No row is embedded, or none matches.
            DatabaseError: The time did not suffice for 20 exact answers.
            UsageError: PostgreSQL does not understand the condition.
        """
        rows = self._draw(self.options.sample)
        exact = self._answer(rows, EXACT_SHARE * self.options.max_seconds)
        if len(exact.questions) < min(LEAST_QUESTIONS, len(rows)):
            raise DatabaseError(
                f"only {len(exact.questions)} of {len(rows)} exact searches ended in "
                f"{EXACT_SHARE * self.options.max_seconds:g} s; give more time with --max-seconds"
            )
        return exact

    def ask_bursts(self) -> Exact | None:
        """Look for rows in bursts of near copies, as frames of one scene, and answer these without the index; None for few.

        Their k nearest rows lie within BURST_DISTANCE and not all at 0, as rows with the same picture do.
        """
        found: list[RowKey] = []
        until = time.monotonic() + BURST_SEARCH_SHARE * self.options.max_seconds
        value = self.value_in_use()
        try:
            for row in self._sample(BURST_DRAWS * self.options.sample):
                with self._reading(value, min(until, self._ends)) as cursor:
                    distances = self._distances(cursor, row, value=value)
                is_full = len(distances) == self.options.k
                if is_full and 1e-6 < distances[-1] <= BURST_DISTANCE:
                    found.append(row)
                if len(found) >= self.options.sample:
                    break
        except psycopg.errors.QueryCanceled:
            pass  # What was found until now.
        if len(found) < LEAST_BURST_ROWS:
            return None
        exact = self._answer(found, BURST_SEARCH_SHARE * self.options.max_seconds)
        return exact if len(exact.questions) >= LEAST_BURST_ROWS else None

    def _answer(self, rows: Sequence[RowKey], max_seconds: float) -> Exact:
        """Answer them without the index, as many as the time allows; the first alone, which tells how long that takes."""
        begun = time.monotonic()
        deadline = begun + max_seconds
        questions: list[RecallQuery] = []
        seconds: list[float] = []
        is_cut_off = False
        try:
            for place, row in enumerate(rows):
                if len(seconds) >= LEAST_ALONE and time.monotonic() > begun + ALONE_SHARE * max_seconds:
                    for chunk in self._answer_together(rows[place:], deadline):
                        questions += chunk
                    break
                with self._reading(None, deadline) as cursor:
                    began = time.monotonic()
                    distances = self._distances(cursor, row, exactly=True)
                if distances:
                    seconds.append(time.monotonic() - began)
                    questions.append(RecallQuery(row, distances))
        except psycopg.errors.QueryCanceled:
            # Not told from the clock: the server may end a search a moment before the deadline here.
            is_cut_off = True
        if not questions and not is_cut_off:
            raise CollectionError(self._nothing())
        return Exact(questions, *percentiles(seconds))

    def _answer_together(self, rows: Sequence[RowKey], deadline: float) -> Iterator[list[RecallQuery]]:
        """Answer them without the index, many in one scan, in chunks as large as the time that is left allows."""
        size = FIRST_CHUNK
        while rows:
            began = time.monotonic()
            yield self._answer_chunk(rows[:size], deadline)
            rows, done = rows[size:], min(size, len(rows))
            each = max(time.monotonic() - began, 1e-6) / done
            size = min(int(CHUNK_SHARE * (deadline - time.monotonic()) / each), MOST_TOGETHER)
            if rows and size < 1:
                raise psycopg.errors.QueryCanceled("the time is over")

    def _answer_chunk(self, rows: Sequence[RowKey], deadline: float) -> list[RecallQuery]:
        """Answer all of them without the index: what it finds bounds how far the true neighbours are."""
        value, k = self.value_in_use(), self.options.k
        bounded: list[tuple[RowKey, str, float]] = []
        answers: list[RecallQuery] = []
        for row in rows:
            with self._reading(value, deadline) as cursor:
                found = self._distances(cursor, row, value=value)
                vector = cursor.execute(*self.sql.vector_of(row), prepare=False).fetchone()
            if len(found) == k and vector is not None and vector[0] is not None:
                bounded.append((row, vector[0], found[-1]))
                continue
            # Too few were found to tell a bound.
            with self._reading(None, deadline) as cursor:
                distances = self._distances(cursor, row, exactly=True)
            if distances:
                answers.append(RecallQuery(row, distances))
        if not bounded:
            return answers
        within: list[list[float]] = [[] for _ in bounded]
        values = {"vectors": [text for _, text, _ in bounded], "bounds": [bound for _, _, bound in bounded]}
        with self._reading(None, deadline) as cursor:
            for place, key, distance in cursor.execute(self.sql.together(), values, prepare=False):
                if key != bounded[place - 1][0].key:
                    within[place - 1].append(distance)
        nearest = zip(bounded, map(sorted, within), strict=True)
        return answers + [RecallQuery(row, found[:k]) for (row, _, _), found in nearest if found]

    def measure(self, exact: Exact, value: int, rounding: float = 0.0) -> Setting | None:
        """Ask through the index with one setting; None when the time is over.

        Args:
            rounding: How much further than the last exact neighbour a row may be and still counts as found.
        """
        hits: list[float] = []
        seconds: list[float] = []
        short = 0
        try:
            with self._reading(value, self._ends) as cursor:
                uses_index = self._uses_index(cursor, exact.questions[0].row, value)
            for position, question in enumerate([*exact.questions[:WARM_UP], *exact.questions]):
                with self._reading(value, self._ends) as cursor:
                    began = time.monotonic()
                    found = self._distances(cursor, question.row, value=value)
                    taken = time.monotonic() - began
                if position >= min(WARM_UP, len(exact.questions)):
                    seconds.append(taken)
                    hits.append(share_found(found, question.distances, rounding))
                    short += len(found) < len(question.distances)
        except psycopg.errors.QueryCanceled:
            return None
        p50, p95 = percentiles(seconds)
        if not uses_index:
            return Setting(value, "exact", None, None, None, p50, p95, 0)
        low, high = mean_interval(hits)
        return Setting(value, "index", float(np.mean(hits)), low, high, p50, p95, short)

    def value_in_use(self) -> int:
        """Return what a search of this collection for k rows sets now, 0 where it sets nothing."""
        if self.method.tuned is None:
            return 0
        if self.method.tuned == "probes":
            self.connection.execute(self.sql.session_ef_search())
            session = self.connection.execute("SELECT current_setting('ivfflat.probes')").fetchone()
            least = max(int(session[0]) if session else 1, ivfflat.default_probes(self.lists))
            return min(self.lists, self.collection.probes or least)
        row = self.connection.execute(self.sql.session_ef_search()).fetchone()
        ef_search = self.collection.ef_search or (int(row[0]) if row else 0)
        return max(ef_search, self.sql.least_ef_search(self.options.k))

    def _draw(self, sample: int) -> list[RowKey]:
        try:
            return self._sample(sample)
        except psycopg.errors.QueryCanceled as error:
            raise DatabaseError(
                f"the queries were not drawn within {self.options.max_seconds:g} s; give more time with --max-seconds"
            ) from error

    def _sample(self, sample: int) -> list[RowKey]:
        """Draw rows, or raise QueryCanceled where the time is over."""
        estimate = self.connection.execute(
            load_sql("queries/estimated_rows.sql"),
            {"table": f"imgvec.{self.collection.embedding_table}", "dimensions": self.collection.dimensions},
        ).fetchone()
        percent = min(100.0, 100 * 10 * sample / max(int(estimate[0]) if estimate else 0, 1))
        statement = self.sql.sample(matching=self.options.ask_matching)
        while True:
            with self._reading(None, self._ends) as cursor:
                values = {"percent": percent, "seed": self.options.seed, "sample": sample}
                rows = [RowKey(key, texts) for key, texts in cursor.execute(statement, values)]
            if len(rows) >= sample or percent >= 100:
                break
            percent = min(100.0, percent * 10)
        if not rows:
            raise CollectionError(self._nothing())
        return rows

    def _nothing(self) -> str:
        name = self.collection.name
        if self.options.where is None:
            return f"collection {name} has no two embedded rows that this role may see; run: imgvec backfill {name}"
        return f"no embedded row of {name} matches the condition {self.options.where!r}; nothing was measured"

    @contextmanager
    def _reading(self, value: int | None, ends: float) -> Iterator[psycopg.Cursor[Any]]:
        """Give a cursor in a read-only transaction with the settings of a search by the index; of an exact one for None."""
        left = int(1000 * (ends - time.monotonic()))
        if left <= 0:
            raise psycopg.errors.QueryCanceled("the time is over")
        try:
            with self.connection.transaction(), self.connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
                cursor.execute(self.sql.session_ef_search())
                settings = {} if value is None else self.method.measured_settings(value)
                settings["statement_timeout"] = f"{left}ms"
                cursor.execute(load_sql("queries/set_for_scan.sql"), {"settings": json.dumps(settings)})
                yield cursor
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseError(
                f"the role {self.connection.info.user} may not measure {self.collection.name} ({one_line(error)}); "
                f"it needs imgvec_reader, and SELECT on {self.collection.shown_source} for a condition"
            ) from error
        except psycopg.OperationalError:  # a lost connection, the time that is over
            raise
        except psycopg.Error as error:
            if self.options.where is None:
                raise
            raise condition_error(error, self.collection, self.options.where) from error

    def _distances(
        self, cursor: psycopg.Cursor[Any], row: RowKey, *, exactly: bool = False, value: int = 0
    ) -> list[float]:
        statement, values = self.sql.nearest(row, exactly=exactly)
        values |= {"k": self.options.k, "candidates": max(value, self.sql.candidates(self.options.k))}
        return [distance for (distance,) in cursor.execute(statement, values, prepare=False)]

    def _uses_index(self, cursor: psycopg.Cursor[Any], row: RowKey, value: int) -> bool:
        statement, values = self.sql.nearest(row, exactly=False)
        values |= {"k": self.options.k, "candidates": max(value, self.sql.candidates(self.options.k))}
        explained = cursor.execute(self.sql.explain(statement), values, prepare=False).fetchone()
        return explained is not None and has_ordered_scan(explained[0])
