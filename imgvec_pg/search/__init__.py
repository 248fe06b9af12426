"""Search: the query vector, and the nearest rows to it."""
