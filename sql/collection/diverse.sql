-- imgvec.diverse_<collection>(query, k, among, diversity, candidates): k rows that are near the query and unlike each other, in the
-- order in which they are chosen: of the nearest `candidates` rows, k to 1,000, each time the one that is least in
--     (1 - diversity) * distance to the query - diversity * least distance to the rows chosen before,
-- which is maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998, with lambda = 1 - diversity) in cosine distances.
-- diversity 0 is search_*'s own order; 1 asks for the query no more once the nearest is chosen. k is 1 to 100. Among the given keys, where
-- among is left out of all; a NULL among raises. VOLATILE as search_* is.
{create} imgvec.{diverse}(
    query {vector}.halfvec, k integer DEFAULT 10, among {among_type}[] DEFAULT {all_rows},
    diversity double precision DEFAULT 0.5, candidates integer DEFAULT 200
)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $diverse$
#variable_conflict use_column
DECLARE
    {found_declarations}
    found_distances double precision[];
    vectors {vector}.halfvec[];
    -- Of each candidate the least distance to those chosen.
    apart double precision[];
    chosen bigint[] := ARRAY[]::bigint[];
    next_one bigint;
BEGIN
    IF $2 IS NULL OR $2 < 1 OR $2 > 100 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('k must be 1 to 100, not %s', coalesce($2::text, 'NULL')),
            HINT = 'Each row chosen is compared with all candidates.';
    ELSIF $4 IS NULL OR NOT $4 BETWEEN 0 AND 1 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('diversity is %s; expected 0 to 1', coalesce($4::text, 'NULL')),
            HINT = '0 is the order of distance, 1 the most different.';
    ELSIF $5 IS NULL OR $5 < $2 OR $5 > 1000 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('candidates must be k to 1000, here %s to 1000, not %s', $2, coalesce($5::text, 'NULL')),
            HINT = 'More candidates make more different answers, further from the query.';
    END IF;
    SELECT {found_aggregates}, array_agg(f.embedding ORDER BY f.distance + 0, {f_keys})
    INTO {found_variables}, vectors
    FROM (
        SELECT {r_keys}, r.distance, e.embedding
        FROM imgvec.{search}($1, $5, $3) AS r JOIN imgvec.{embedding_table} AS e ON {e_equals_r}
    ) AS f;
    FOR step IN 1..least($2, coalesce(cardinality(vectors), 0)) LOOP
        SELECT u.number INTO next_one
        FROM unnest(found_distances, apart) WITH ORDINALITY AS u (distance, apart, number)
        WHERE u.number <> ALL (chosen)
        ORDER BY (1 - $4) * u.distance - $4 * coalesce(u.apart, 0), u.number
        LIMIT 1;
        chosen := chosen || next_one;
        SELECT array_agg(least(u.apart, u.embedding OPERATOR({vector}.<=>) vectors[next_one]) ORDER BY u.number) INTO apart
        FROM unnest(apart, vectors) WITH ORDINALITY AS u (apart, embedding, number);
    END LOOP;
    RETURN QUERY
    SELECT {found_at_c}, found_distances[c.number]
    FROM unnest(chosen) WITH ORDINALITY AS c (number, place)
    ORDER BY c.place;
END
$diverse$;
COMMENT ON FUNCTION imgvec.{diverse}({vector}.halfvec, integer, {among_type}[], double precision, integer) IS
    'k rows near a query and unlike each other, in the order in which they are chosen (maximal marginal relevance).';
