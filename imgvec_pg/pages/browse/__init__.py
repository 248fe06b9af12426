"""The page that searches and filters a collection."""
