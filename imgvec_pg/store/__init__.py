"""Collections, embeddings, queue and indexes in the database."""
