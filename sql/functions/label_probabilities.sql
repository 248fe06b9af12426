-- imgvec.label_probabilities(similarities, logit_scale, logit_bias): the cosine similarities of one picture with several
-- labels as the model's own probabilities: softmax of logit_scale * similarity where there is no bias (CLIP: they add up
-- to 1), sigmoid of logit_scale * similarity + logit_bias where there is one (SigLIP: each label for itself). IMMUTABLE.
CREATE FUNCTION imgvec.label_probabilities(
    similarities double precision[], logit_scale double precision, logit_bias double precision DEFAULT NULL
) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
-- No SET: it would cost more than the sums, once for each row classified. Built-in operators alone are used.
AS $function$
DECLARE
    logit double precision;
    highest double precision;
    total double precision := 0;
    probabilities double precision[] := '{{}}';
    position integer;
BEGIN
    IF $3 IS NOT NULL THEN
        FOREACH logit IN ARRAY $1 LOOP
            -- exp() raises beyond 709 instead of giving infinity or 0.
            probabilities := probabilities || 1 / (1 + exp(greatest(-700, least(700, -($2 * logit + $3)))));
        END LOOP;
        RETURN probabilities;
    END IF;
    FOREACH logit IN ARRAY $1 LOOP
        highest := greatest(highest, $2 * logit);
    END LOOP;
    FOREACH logit IN ARRAY $1 LOOP
        probabilities := probabilities || exp(greatest(-700, $2 * logit - highest));
        total := total + probabilities[cardinality(probabilities)];
    END LOOP;
    FOR position IN 1 .. cardinality(probabilities) LOOP
        probabilities[position] := probabilities[position] / total;
    END LOOP;
    RETURN probabilities;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.label_probabilities(double precision[], double precision, double precision) FROM PUBLIC;
