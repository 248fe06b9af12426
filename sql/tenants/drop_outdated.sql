-- Take out of the copy what is no longer so in the table: rows that are gone, or were embedded anew.
DELETE FROM imgvec.{partition} AS p
WHERE NOT EXISTS (
    SELECT FROM imgvec.{embedding_table} AS e
    WHERE e.{tenant} {tenant_equality} %(value)s::{tenant_type} AND {e_equals_p}
      AND e.version = p.version AND e.embedded_at = p.embedded_at AND e.content_hash = p.content_hash
      AND e.reference_hash IS NOT DISTINCT FROM p.reference_hash
);
