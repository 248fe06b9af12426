-- imgvec.source_is_open(collection_id): true while the source shows all its rows to whoever may read it; raises an error once it hides
-- some, because row-level security was switched on after the collection was made: its embeddings follow it after a reconcile. False
-- where the source is gone. The policy on each embedding table whose source hid nothing asks this once a query. STABLE.
CREATE FUNCTION imgvec.refuse_open(collection text) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RAISE EXCEPTION 'the source of collection % hides rows now, its embeddings do not yet', collection
        USING ERRCODE = 'insufficient_privilege', HINT = 'Have the owner run: imgvec collection reconcile ' || collection;
END
$function$;
CREATE FUNCTION imgvec.source_is_open(collection_id integer) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce((
        SELECT CASE WHEN r.relrowsecurity OR (r.relkind = 'v' AND imgvec.source_hides_rows(r.oid)) THEN imgvec.refuse_open(c.name)
                    ELSE true END
        FROM imgvec.collection AS c JOIN pg_catalog.pg_class AS r ON r.oid = c.source WHERE c.id = $1
    ), false);
END;
REVOKE ALL ON FUNCTION imgvec.refuse_open(text), imgvec.source_is_open(integer) FROM PUBLIC;
