"""Backfill: workers that claim jobs from the queue, embed images and write the embeddings."""
