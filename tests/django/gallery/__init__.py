"""A Django app for the tests: items with pictures, categories, tags and reviews."""
