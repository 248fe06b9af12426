-- imgvec.decide_duplicate_group(collection, group_id, decision): the same for each pair of a group that `imgvec duplicates` found, as the
-- caller sees it; returns how many pairs. A group that is gone raises.
CREATE OR REPLACE FUNCTION imgvec.decide_duplicate_group(collection text, group_id integer, decision text) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    wanted imgvec.collection;
    decided bigint;
BEGIN
    SELECT c.* INTO wanted FROM imgvec.collection AS c
    WHERE c.name = $1 OR c.id = (SELECT a.collection_id FROM imgvec.alias AS a WHERE a.name = $1);
    IF NOT FOUND THEN
        {refuse_collection}
    END IF;
    EXECUTE format(
        -- Of each two pictures once, however many rows have them: copies make a pair of each two rows.
        'WITH pair AS MATERIALIZED (SELECT LEAST(a.content_hash, b.content_hash) AS one, '
        'GREATEST(a.content_hash, b.content_hash) AS other, count(*) AS times FROM imgvec.%1$I AS a '
        'JOIN imgvec.%1$I AS b ON b.group_id = a.group_id AND b.place > a.place WHERE a.group_id = $1 GROUP BY 1, 2) '
        'SELECT coalesce(sum(p.times), 0)::bigint FROM pair AS p '
        'CROSS JOIN LATERAL imgvec.decide_duplicate_content(p.one, p.other, $2)',
        wanted.name || '_duplicate_member'
    ) INTO decided USING $2, $3;
    IF decided = 0 THEN
        RAISE no_data_found USING MESSAGE = format('collection "%s" has no group %s of duplicates', $1, coalesce($2::text, 'NULL')),
            HINT = 'A run of imgvec duplicates may have joined it with another one, or parted it.';
    END IF;
    RETURN decided;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.decide_duplicate_group(text, integer, text) FROM PUBLIC;
