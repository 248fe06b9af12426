"""Ways to write embeddings."""
