"""The job queue, its stats, and embedding requests of queries."""
