-- The index of one table, built beside running writes.
CREATE INDEX CONCURRENTLY {index} ON imgvec.{table} USING {method} ({indexed}) WITH ({options});
