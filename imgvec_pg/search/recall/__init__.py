"""Recall of the HNSW index against exact search, and tuning ef_search by it."""
