"""Near-duplicates that rows of one collection have in another."""
