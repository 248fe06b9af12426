"""Whether rows, embeddings, failures and queue agree, and repairing what does not."""
