"""Integrity of rows, embeddings, failures and queue: verify and reconcile."""
