-- Vectors of many rows, in binary. Where the role is held by row-level security, which COPY refuses, {target} is a table of the transaction.
COPY {target} ({keys}, embedding, version, content_hash, reference_hash, precision) FROM STDIN (FORMAT binary)
