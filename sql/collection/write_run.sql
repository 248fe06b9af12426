-- What this run was asked for, and what a following one compares by, instead of the last.
INSERT INTO imgvec.{duplicate_run_table} AS r
    (threshold, condition, keep, linkage, row_count, next_number, not_embedded, axes, largest_square)
VALUES (%(threshold)s, %(condition)s, %(keep)s, %(linkage)s, %(row_count)s, %(next_number)s, %(not_embedded)s, %(axes)s, %(largest_square)s)
ON CONFLICT (is_last) DO UPDATE
SET threshold = excluded.threshold, condition = excluded.condition, keep = excluded.keep, linkage = excluded.linkage, row_count = excluded.row_count, next_number = excluded.next_number,
    not_embedded = excluded.not_embedded, axes = excluded.axes, largest_square = excluded.largest_square, ended_at = now()
