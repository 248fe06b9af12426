-- The last run: what it was asked for, and what a following one compares by.
SELECT r.threshold, r.condition, r.keep, r.linkage, r.row_count, r.next_number, r.axes, r.largest_square FROM imgvec.{duplicate_run_table} AS r
