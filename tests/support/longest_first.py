"""The order of the files: those that take longest first, or the last of them would run alone at the end.

pytest-xdist hands files out as a whole, by itself in the order of their number of tests: those that wait longest have few.
"""

from functools import cache
from pathlib import Path

LONGEST = (
    # By processor time with their servers and processes; those that wait by the clock's.
    "backfill/test_backfill.py",
    "backfill/test_ray.py",
    "docs/test_quickstart.py",
    "chaos/test_squalls.py",
    "demo/test_demo_command.py",
    "docs/test_recommend_classify_fuse.py",
    "acceptance/test_photographs.py",
    "distribution/test_types.py",
    "distribution/test_examples.py",
    "embedding/test_equality.py",
    "cli/test_switch.py",
    "adoption/test_adopt.py",
    "migrations/test_several_at_once.py",
    "chaos/test_protocol.py",
    "cli/test_bad_input.py",
    "database/test_encodings.py",
    "chaos/test_slow_link.py",
    "django/test_key_types.py",
    "store/test_key_change.py",
    "backfill/test_known_pictures.py",
    "django/test_commands.py",
    "sql/test_among.py",
    "chaos/test_pgbouncer.py",
    "duplicates/test_duplicate_relations.py",
    "sql/test_key_settings.py",
    "docs/test_django_page.py",
    "sql/test_triggers.py",
    "demo_model/test_train.py",
    "chaos/test_faults.py",
    "django/test_renames.py",
    "docs/test_flask_page.py",
    "store/test_picture_index.py",
    "cli/test_index.py",
    "chaos/test_storm.py",
    "distribution/test_without_models.py",
    "duplicates/test_following_runs.py",
    "database/test_local_server.py",
    "sql/test_text_queries.py",
    "backfill/test_remote_model.py",
    "django/test_stock_project.py",
    "rendering/test_goldens.py",
    "backfill/test_kill.py",
)
PLACES = {name: place for place, name in enumerate(LONGEST)}
TESTS = Path(__file__).resolve().parent.parent


@cache
def place_of(path: Path) -> int:
    """Return the place of a test's file; the files that are not named share the last, and keep their order."""
    name = path.relative_to(TESTS).as_posix() if path.is_relative_to(TESTS) else ""
    return PLACES.get(name, len(PLACES))
