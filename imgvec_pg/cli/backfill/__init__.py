"""What `imgvec backfill` and `imgvec worker` share: options, worker processes, several collections, the summary."""
