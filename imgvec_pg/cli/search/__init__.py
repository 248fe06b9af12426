"""What the search commands share: the query, its options, its results."""
