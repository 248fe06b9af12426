"""Stands in transformers' way, see tests/support/lean_processes.py."""

raise ImportError(
    "this process of a test has no transformers, as an installation of the extra `models` has none"
)
