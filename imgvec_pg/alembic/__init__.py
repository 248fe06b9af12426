"""Alembic operations and autogenerate support."""
