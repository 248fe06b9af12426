"""Which of projected rows are pairs: comparisons, cells around centres, ways to part rows, and running them."""
