"""The write protocol with one guard taken out: what the proof must catch."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imgvec_pg.database import sql_templates


@dataclass(frozen=True)
class Mutant:
    """Replacements within sql/: (file, text found once, text instead)."""

    name: str
    replacements: tuple[tuple[str, str, str], ...]

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


EXAMPLES = 2000
"""Runs within which the state machine must catch a mutant; it took at most a tenth of that, whatever was drawn."""

WRITE = "collection/write_embeddings.sql"
FRESH = "nextval('imgvec.version_seq')"

MUTANTS = (
    Mutant("no version guard", ((WRITE, "        WHERE e.version < excluded.version\n", ""),)),
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
    ),
    Mutant("no lease check", (("queries/finish_jobs.sql", " AND token = %(token)s", ""),)),
    Mutant(
        "compare before upsert",
        (
            (WRITE, "        WHERE e.version < excluded.version\n", ""),
            (
                WRITE,
                "    ORDER BY {w_keys}\n",
                "      AND NOT EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {w_equals_e} AND e.version >= w.version)\n"
                "    ORDER BY {w_keys}\n",
            ),
        ),
    ),
)
