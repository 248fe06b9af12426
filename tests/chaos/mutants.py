"""The write protocol with one guard taken out: what the proof must catch."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from inspect import getmembers
from pathlib import Path

from hypothesis import Phase, seed, settings
from hypothesis.stateful import RULE_MARKER, RuleBasedStateMachine, run_state_machine_as_test

from imgvec_pg.database import sql_templates


@dataclass(frozen=True)
class Mutant:
    """Replacements within sql/: (file, text found once, text instead); of values: (module.name, value instead).

    environment: Variables that do the same to processes.
    seed: Of the state machine's draws; one with which the mutant is caught soon.
    steps: The state machine's rules that are drawn, where not all are: those between which the mutant does its harm.
    """

    name: str
    replacements: tuple[tuple[str, str, str], ...] = ()
    patched: tuple[tuple[str, object], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    seed: int = 0
    steps: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    def write(self, folder: Path) -> Path:
        """Copy sql/ with the replacements made."""
        changed = folder / "sql"
        shutil.copytree(sql_templates.shipped_directory("sql"), changed)
        for file, found, instead in self.replacements:
            text = (changed / file).read_text()
            assert text.count(found) == 1, (file, found)
            (changed / file).write_text(text.replace(found, instead))
        return changed


@contextmanager
def without_guard(mutant: Mutant, folder: Path) -> Iterator[dict[str, str]]:
    """Run this process as a mutant; give the environment that makes others one (tests/support's staged_worker, at_once)."""
    changed = mutant.write(folder)
    with ExitStack() as stack:
        for name, value in mutant.patched:
            owner, _, attribute = name.rpartition(".")
            module = import_module(owner)
            stack.callback(setattr, module, attribute, getattr(module, attribute))
            setattr(module, attribute, value)
        stack.enter_context(sql_from(changed))
        yield {"IMGVEC_TEST_SQL": str(changed), **dict(mutant.environment)}


@contextmanager
def sql_from(folder: Path) -> Iterator[None]:
    """Take SQL from another folder, within this process."""
    shipped = sql_templates.shipped_directory
    sql_templates.shipped_directory = lambda name: folder if name == "sql" else shipped(name)
    sql_templates.load_sql.cache_clear()
    try:
        yield
    finally:
        sql_templates.shipped_directory = shipped
        sql_templates.load_sql.cache_clear()


EXAMPLES = 30
"""Runs of the state machine with one seed; Hypothesis keeps the first tenth of them small."""
SEEDS = 60
"""Seeds of which one must catch a mutant. The rarest are met once in 200 runs of their rules."""


def with_rules(machine: type[RuleBasedStateMachine], names: Sequence[str]) -> type[RuleBasedStateMachine]:
    """Return the machine with these of its rules alone; the others stay methods, which rules may call."""

    def as_method(rule: Callable[..., None]) -> Callable[..., None]:
        return lambda self, *arguments: rule(self, *arguments)

    rules = {name: found for name, found in getmembers(machine) if hasattr(found, RULE_MARKER)}
    assert rules.keys() >= set(names), names
    others = {name: as_method(rule) for name, rule in rules.items() if name not in names}
    return type(machine.__name__, (machine,), others)


def first_caught(machine: type[RuleBasedStateMachine], mutant: Mutant, common: settings) -> str | None:
    """Run a state machine with the mutant's seed and those after it; return what it finds amiss first, None for nothing."""
    drawn = settings(
        common,
        max_examples=EXAMPLES,
        stateful_step_count=40,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    drawn_from = with_rules(machine, mutant.steps) if mutant.steps else machine
    for number in range(mutant.seed, mutant.seed + SEEDS):
        try:
            run_state_machine_as_test(seed(number)(drawn_from), settings=drawn)
        except AssertionError as error:
            return str(error)
    return None


WRITE = "collection/write_embeddings.sql"
CONFIRM = "collection/confirm_known.sql"
FRESH = "nextval('imgvec.version_seq')"

OF_COPIES = ("doubt", "take", "write", "let_time_pass", "give_up", "end_held")

MUTANTS = (
    Mutant("no version guard", ((WRITE, "        WHERE e.version < excluded.version\n", ""),), seed=2),
    Mutant(
        "fresh version on a re-enqueued job",
        (
            (
                "queries/delay_keys.sql",
                "SELECT %(collection_id)s, w.version,",
                f"SELECT %(collection_id)s, {FRESH},",
            ),
            (
                "queries/split_jobs.sql",
                "SELECT t.collection_id, t.version,",
                f"SELECT t.collection_id, {FRESH},",
            ),
            (
                "queries/explode_jobs.sql",
                "SELECT t.collection_id, t.version,",
                f"SELECT t.collection_id, {FRESH},",
            ),
        ),
        seed=10,
    ),
    Mutant("no lease check", (("queries/finish_jobs.sql", " AND j.token = d.token", ""),), seed=3),
    Mutant(
        "compare before upsert",
        (
            (WRITE, "        WHERE e.version < excluded.version\n", ""),
            (
                WRITE,
                "    ORDER BY {w_keys}, w.version DESC\n",
                "      AND NOT EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {w_equals_e} AND e.version >= w.version)\n"
                "    ORDER BY {w_keys}, w.version DESC\n",
            ),
        ),
        seed=2,
    ),
    Mutant(
        "copies not confirmed",
        (
            (
                CONFIRM,
                "AND e.embedding OPERATOR({vector}.=) w.imgvec_embedding",
                "",
            ),
            (CONFIRM, "e.content_hash = w.imgvec_hash", "true"),
        ),
        seed=12,
        steps=OF_COPIES,
    ),
    Mutant(
        "copies of doubtful rows confirmed by their vector alone",
        (
            (
                CONFIRM,
                "e.content_hash = w.imgvec_hash",
                "true",
            ),
        ),
        seed=12,
        steps=OF_COPIES,
    ),
    Mutant(
        "pictures are removed beside writers",
        (
            (
                "queries/try_lock_pictures.sql",
                "pg_try_advisory_xact_lock(1768777079, %(collection_id)s)",
                "%(collection_id)s::integer > 0",
            ),
        ),
        seed=3,
    ),
    Mutant("doubtful vectors are found", (("collection/enqueue_doubtful.sql", ", content_hash = ''", ""),)),
)

PARTITIONS_NOT_COMPARED = Mutant(
    "partitions are not compared",
    (
        (
            "queries/partitions_seen.sql",
            "       c.partitions_seen\n",
            "       (SELECT pg_catalog.md5(pg_catalog.string_agg(p.relid::oid::text, ',' ORDER BY p.relid::oid))"
            " FROM pg_catalog.pg_partition_tree(c.source) AS p)\n",
        ),
    ),
)
CHANGE_UNSEEN = Mutant(
    "a worker keeps the types that it began with", patched=(("imgvec_pg.store.registry.WORKED_BY", ()),)
)
KEYS_AS_PRINTED = Mutant(
    "triggers print keys by the session's settings",
    patched=(("imgvec_pg.store.guarded_columns.SETTINGS", {}),),
)
LIMITS_OF_SESSION = Mutant(
    "limits are set for the session",
    (("queries/transaction_limits.sql", "::integer::text, true)", "::integer::text, false)"),),
)
NO_SCHEMA_LOCK = Mutant(
    "migrations neither wait for each other nor try again",
    (("queries/lock_schema.sql", "SELECT pg_advisory_xact_lock(1768777078, 0);", "SELECT 0;"),),
    environment=(("IMGVEC_TEST_RACE_TRIES", "0"),),
)
PICTURES_OF_ROWS_REMOVED = Mutant(
    "pictures are removed whose rows have this very vector",
    (
        (
            "collection/tidy_pictures.sql",
            "e.content_hash = p.content_hash AND NOT {vector}.halfvec_ne(e.embedding, p.embedding)",
            "e.content_hash = p.content_hash AND {vector}.halfvec_ne(e.embedding, p.embedding)",
        ),
    ),
)
NO_LEASE_CHECK = MUTANTS[2]
