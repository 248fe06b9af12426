-- After a search that may miss pairs there is nothing that a following run could go on from.
DELETE FROM imgvec.{duplicate_run_table}
