-- Before a run that compares all rows notes them. Nobody reads these but a run, of which there is one at a time.
TRUNCATE imgvec.{duplicate_seen_table}, imgvec.{duplicate_block_table}
