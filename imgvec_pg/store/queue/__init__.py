"""The job queue, its statistics, and queries waiting for an embedding."""
