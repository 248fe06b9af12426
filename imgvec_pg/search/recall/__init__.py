"""Recall of the index against exact search, and tuning it by that."""
