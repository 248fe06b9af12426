-- For each of the vectors %(vectors)s, by its place from 1, all rows within its distance %(bounds)s, in one scan of the table: a scan
-- for each of 200 takes five times the processor time, and as many times the disk where the table does not fit into memory. OFFSET 0
-- keeps the vector of a row, which may lie in TOAST, from being fetched for each of them; subvector() fetches it and changes nothing.
SELECT q.place, {n_key} AS key, n.imgvec_vector OPERATOR({vector}.<=>) q.embedding AS distance
FROM (
    SELECT {e_keys}, {vector}.subvector(e.embedding, 1, {dimensions}) AS imgvec_vector
    FROM imgvec.{embedding_table} AS e {join}
    OFFSET 0
) AS n
CROSS JOIN unnest(%(vectors)s::text[]::{vector}.halfvec[], %(bounds)s::double precision[]) WITH ORDINALITY AS q (embedding, bound, place)
WHERE n.imgvec_vector OPERATOR({vector}.<=>) q.embedding <= q.bound;
