-- All pairs whose rows are as they were compared: keys as JSON text, versions and hashes of both, and the distance.
COPY (
    SELECT {e_key}::text, e.version, e.content_hash, {x_key}::text, x.version, x.content_hash, p.distance
    FROM imgvec.{duplicate_pair_table} AS p
    JOIN imgvec.{embedding_table} AS e ON {e_equals_p} AND e.content_hash OPERATOR(pg_catalog.=) p.content_hash
    JOIN imgvec.{embedding_table} AS x ON {x_equals_p_other} AND x.content_hash OPERATOR(pg_catalog.=) p.other_content_hash
) TO STDOUT (FORMAT binary)
