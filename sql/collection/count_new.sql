-- How many of these keys have a row with a picture, no failure and no note, and no embedding yet: those that COPY may write. None where COPY
-- is refused, by row-level security. Planned anew each time: a plan made while the table was small would read all of it for each key.
-- Under lock_collection_shared.sql at least, so that no failure is written meanwhile.
SELECT count(*)
FROM ROWS FROM ({key_lists}) AS w({keys})
WHERE NOT pg_catalog.row_security_active({embedding_table_name}::pg_catalog.regclass)
  AND EXISTS (SELECT FROM {source} AS s WHERE {w_equals_s} AND CASE WHEN {w_equals_s} THEN {s_has_image} END)
  -- Most collections have no failure, and then none is looked for.
  AND NOT (
      (SELECT EXISTS (SELECT FROM imgvec.failure AS f WHERE f.collection_id = {collection_id}))
      AND EXISTS (SELECT FROM imgvec.failure AS f WHERE f.collection_id = {collection_id} AND f.key = {w_key} OFFSET 0)
  )
  AND NOT EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {w_equals_e} OFFSET 0);
