"""Alembic operations and autogenerate support."""

# First of all: Alembic loads our plugin as it starts, and must not find it half loaded.
import alembic  # noqa: F401
