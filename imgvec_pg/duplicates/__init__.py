"""Near-duplicates of a whole collection: every pair, groups, keepers, and what people decided about them."""
