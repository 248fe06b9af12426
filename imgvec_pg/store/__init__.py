"""The schema imgvec as Python sees it: collections, embeddings, queue, indexes, integrity."""
