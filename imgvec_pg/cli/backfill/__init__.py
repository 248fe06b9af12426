"""What `imgvec backfill` and `imgvec worker` are made of: processes, several collections, the summary."""
