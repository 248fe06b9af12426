"""Bring vectors that exist elsewhere, and take them along: import and export of a collection."""
