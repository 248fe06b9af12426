-- Copy what the copy lacks.
INSERT INTO imgvec.{partition}
SELECT e.* FROM imgvec.{embedding_table} AS e
WHERE e.{tenant} {tenant_equality} %(value)s::{tenant_type} AND NOT EXISTS (SELECT FROM imgvec.{partition} AS p WHERE {e_equals_p});
