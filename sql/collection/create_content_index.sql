-- The index by which a worker finds the vector of a picture that another row has already, beside running reads and writes.
CREATE INDEX CONCURRENTLY {index} ON imgvec.{table} (content_hash);
