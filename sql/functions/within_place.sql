-- imgvec.within_place(products, norm, is_complete): the coordinates of a query along the axes of a radius index, from its products with them;
-- raises where the index became complete after the snapshot that asks was taken: rows that it holds since would be missed. IMMUTABLE.
CREATE FUNCTION imgvec.within_place(products double precision[], norm double precision, is_complete boolean) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF is_complete IS NOT TRUE THEN
        RAISE serialization_failure USING MESSAGE = 'the radius index was completed after this transaction took its snapshot',
            HINT = 'Begin the transaction again.';
    END IF;
    RETURN ARRAY(SELECT p.product / norm FROM unnest(products) WITH ORDINALITY AS p(product, number) ORDER BY p.number);
END
$function$;
REVOKE ALL ON FUNCTION imgvec.within_place(double precision[], double precision, boolean) FROM PUBLIC;
