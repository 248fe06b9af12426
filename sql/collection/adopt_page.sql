-- Adopt the vectors of one page of source rows: copied as unit vectors of version 0, so that any change that a trigger noted goes before
-- them; of what bytes they are nobody knows. Rows that a worker has written already keep that. Returns the last key looked at (null at
-- the end), the rows looked at, the vectors adopted, and the rows left out, as a JSON array of key and reason each: those without a
-- picture or a vector are not among them. p_in_ranges: whether the key lies in one of the ranges that are the model's, all bounds included.
WITH page AS MATERIALIZED (
    SELECT {s_keys}, {s_key} AS imgvec_key, {s_has_image} AS imgvec_has_image, {s_reference_hash} AS imgvec_reference_hash,
           {adopted} IS NOT NULL AS imgvec_has_vector, {vector}.vector_dims({adopted}) AS imgvec_dimensions,
           CASE WHEN {vector}.vector_dims({adopted}) = {dimensions} AND {vector}.vector_norm({adopted}) > 0
               THEN {vector}.l2_normalize({adopted}) END AS imgvec_vector
    FROM {adopting}
    {after_condition}
    ORDER BY {s_keys}
    LIMIT %(page_size)s
), judged AS MATERIALIZED (
    SELECT p.*, CASE
        WHEN NOT p.imgvec_has_image OR NOT p.imgvec_has_vector THEN 'nothing'
        WHEN p.imgvec_dimensions <> {dimensions} THEN 'other dimensions'
        WHEN p.imgvec_vector IS NULL THEN 'norm 0'
        WHEN NOT {p_in_ranges} THEN 'disagrees'
        WHEN -(p.imgvec_vector OPERATOR({vector}.<#>) %(direction)s::{vector}.vector) < %(least)s::float8
          OR p.imgvec_key = ANY (%(disagreeing)s::jsonb[]) THEN 'disagrees'
        END AS imgvec_reason
    FROM page AS p
), adopted AS (
    INSERT INTO imgvec.{embedding_table} AS e ({keys}, embedding, version, content_hash, reference_hash, precision)
    SELECT {j_keys}, j.imgvec_vector::{vector}.halfvec({dimensions}), 0, '', j.imgvec_reference_hash, 'adopted'
    FROM judged AS j WHERE j.imgvec_reason IS NULL
    ORDER BY {j_keys}
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT (SELECT p.imgvec_key FROM page AS p ORDER BY {p_keys_descending} LIMIT 1) AS last_key,
       (SELECT count(*) FROM page) AS looked_at,
       (SELECT count(*) FROM adopted) AS adopted,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(j.imgvec_key, j.imgvec_reason)), '[]') FROM judged AS j
        WHERE j.imgvec_reason <> 'nothing') AS left_out;
