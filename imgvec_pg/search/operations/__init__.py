"""Queries beyond the nearest rows: recommend, classify, paginate, fuse, compare."""
