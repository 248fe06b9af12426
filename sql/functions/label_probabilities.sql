-- imgvec.label_probabilities(similarities, logit_scale, logit_bias): the cosine similarities of one picture with several
-- labels as the model's own probabilities: softmax of logit_scale * similarity where there is no bias (CLIP: they add up
-- to 1), sigmoid of logit_scale * similarity + logit_bias where there is one (SigLIP: each label for itself).
-- Raises for NULL, NaN and infinity. IMMUTABLE.
CREATE FUNCTION imgvec.label_probabilities(
    similarities double precision[], logit_scale double precision, logit_bias double precision DEFAULT NULL
) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
-- No SET: it would cost more than the sums, once for each row classified. Hence the qualified names: an operator that
-- somebody made for these very types would be taken before a built-in one.
AS $function$
DECLARE
    logit double precision;
    highest double precision;
    total double precision := 0;
    checked double precision := 0;
    probabilities double precision[] := '{{}}';
    position integer;
BEGIN
    -- A sum is NULL, NaN or infinite where any of it is.
    IF $1 IS NOT NULL THEN
        FOREACH logit IN ARRAY $1 LOOP
            checked := checked OPERATOR(pg_catalog.+) logit;
        END LOOP;
        checked := checked OPERATOR(pg_catalog.+) $2 OPERATOR(pg_catalog.+) coalesce($3, 0);
    END IF;
    IF $1 IS NULL OR checked IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'a similarity or the logit scale is NULL',
            HINT = 'Pass the cosine similarities as an array, and the scale and bias that imgvec.embed_labels gives.';
    ELSIF checked OPERATOR(pg_catalog.-) checked OPERATOR(pg_catalog.<>) 0::double precision THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a similarity, the logit scale or the logit bias is not finite',
            HINT = 'Pass cosine similarities, -1 to 1, and the scale and bias that imgvec.embed_labels gives.';
    END IF;
    IF $3 IS NOT NULL THEN
        FOREACH logit IN ARRAY $1 LOOP
            logit := ($2 OPERATOR(pg_catalog.*) logit) OPERATOR(pg_catalog.+) $3;
            -- exp() raises beyond 709 instead of giving infinity or 0.
            logit := pg_catalog.exp(greatest(-700, least(700, OPERATOR(pg_catalog.-) logit)));
            probabilities := pg_catalog.array_append(
                probabilities, 1::double precision OPERATOR(pg_catalog./) (1::double precision OPERATOR(pg_catalog.+) logit));
        END LOOP;
        RETURN probabilities;
    END IF;
    FOREACH logit IN ARRAY $1 LOOP
        highest := greatest(highest, $2 OPERATOR(pg_catalog.*) logit);
    END LOOP;
    FOREACH logit IN ARRAY $1 LOOP
        logit := ($2 OPERATOR(pg_catalog.*) logit) OPERATOR(pg_catalog.-) highest;
        logit := pg_catalog.exp(greatest(-700, logit));
        probabilities := pg_catalog.array_append(probabilities, logit);
        total := total OPERATOR(pg_catalog.+) logit;
    END LOOP;
    FOR position IN 1 .. pg_catalog.cardinality(probabilities) LOOP
        probabilities[position] := probabilities[position] OPERATOR(pg_catalog./) total;
    END LOOP;
    RETURN probabilities;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.label_probabilities(double precision[], double precision, double precision) FROM PUBLIC;
