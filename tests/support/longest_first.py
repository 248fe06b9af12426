"""The order of the files: those that take longest first, or the last of them would run alone at the end.

pytest-xdist hands files out as a whole, by itself in the order of their number of tests: those that wait longest have few.
"""

from pathlib import Path

LONGEST = (
    # By seconds of the clock, two processes on two busy cores.
    "backfill/test_backfill.py",
    "demo/test_demo_command.py",
    "migrations/test_several_at_once.py",
    "acceptance/test_photographs.py",
    "cli/test_switch.py",
    "embedding/test_equality.py",
    "chaos/test_protocol.py",
    "database/test_encodings.py",
    "chaos/test_slow_link.py",
    "django/test_key_types.py",
    "django/test_commands.py",
    "backfill/test_known_pictures.py",
    "demo_model/test_train.py",
    "distribution/test_examples.py",
    "distribution/test_types.py",
    "adoption/test_adopt.py",
    "docs/test_quickstart.py",
    "docs/test_recommend_classify_fuse.py",
    "chaos/test_squalls.py",
    "docs/test_django_page.py",
    "chaos/test_faults.py",
    "chaos/test_pgbouncer.py",
    "django/test_renames.py",
    "docs/test_flask_page.py",
    "store/test_picture_index.py",
    "cli/test_index.py",
    "embedding/test_openclip_text_tower.py",
    "chaos/test_storm.py",
    "distribution/test_without_models.py",
    "cli/test_bad_input.py",
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


def place_of(path: Path) -> int:
    """Return the place of a test's file; the files that are not named share the last, and keep their order."""
    name = path.relative_to(TESTS).as_posix() if path.is_relative_to(TESTS) else ""
    return PLACES.get(name, len(PLACES))
