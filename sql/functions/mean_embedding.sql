-- imgvec.mean_embedding(collection, keys): what the rows have in common, their mean at norm 1: a query for somebody of
-- whom only a category is known. Rows that have no vector are left out; raises when none has one. 1 to 10,000 keys. STABLE.
CREATE OR REPLACE FUNCTION imgvec.mean_embedding(collection text, keys anyarray) RETURNS {vector}.halfvec
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN imgvec.unit_embedding({vector}.avg(u.embedding::{vector}.vector))
    FROM unnest(imgvec.embeddings_of($1, to_jsonb($2), 10000, true)) AS u(embedding);
END
$function$;
REVOKE ALL ON FUNCTION imgvec.mean_embedding(text, anyarray) FROM PUBLIC;
