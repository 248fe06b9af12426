-- imgvec.decide_duplicate(collection, key, other_key, decision): what somebody decided about the pictures of two rows. Where a row is gone, or
-- not embedded, or both keys are one row's, it raises: a decision about bytes and themselves would be one about all copies of the
-- picture, for which decide_duplicate_content takes the hash twice. VOLATILE.
CREATE OR REPLACE FUNCTION imgvec.decide_duplicate(collection text, key jsonb, other_key jsonb, decision text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    hash bytea := imgvec.content_hash_of($1, $2);
    other_hash bytea := imgvec.content_hash_of($1, $3);
BEGIN
    -- As text: 1 and "1" are one key.
    IF hash = other_hash AND NOT EXISTS (
        SELECT k.key, k.value FROM imgvec.find_embedding($1, $2) AS f CROSS JOIN jsonb_each_text(f.key_object) AS k
        EXCEPT SELECT k.key, k.value FROM imgvec.find_embedding($1, $3) AS f CROSS JOIN jsonb_each_text(f.key_object) AS k
    ) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('both keys are those of one row, %s; expected two rows', $2),
            HINT = 'Two rows with the same picture may be decided about; so may all copies of it: decide_duplicate_content with its hash twice.';
    END IF;
    PERFORM imgvec.decide_duplicate_content(hash, other_hash, $4);
END
$function$;
REVOKE ALL ON FUNCTION imgvec.decide_duplicate(text, jsonb, jsonb, text) FROM PUBLIC;
