"""The page that reviews near-duplicates."""
