"""What is in the database, as Python sees it."""
