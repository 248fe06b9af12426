"""Readers of vectors: one module a format, each imported when a file of it is opened."""
