-- imgvec.embed_labels(collection, labels): the vectors of labels by imgvec.embed_text, and the scale and bias that turn
-- similarities into probabilities (imgvec.label_probabilities); the bias is NULL for softmax models. STABLE.
CREATE OR REPLACE FUNCTION imgvec.embed_labels(
    collection text, labels text[],
    OUT label_embeddings {vector}.halfvec[], OUT logit_scale double precision, OUT logit_bias double precision
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    model imgvec.model;
    fewest integer;
BEGIN
    SELECT m.* INTO model FROM imgvec.collection AS c JOIN imgvec.model AS m ON m.id = c.model_id
    WHERE c.name = $1 OR c.id = (SELECT a.collection_id FROM imgvec.alias AS a WHERE a.name = $1);
    IF NOT FOUND THEN
        {refuse_collection}
    END IF;
    IF $2 IS NULL OR array_position($2, NULL) IS NOT NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = CASE WHEN $2 IS NULL THEN 'the labels are NULL' ELSE 'a label is NULL' END,
            HINT = 'Pass labels such as ARRAY[''fruit'', ''animal'', ''vehicle''].';
    END IF;
    IF NOT model.has_text THEN
        RAISE feature_not_supported USING
            MESSAGE = format('model "%s" of collection "%s" has no text tower, so it knows no labels', model.name, $1),
            HINT = 'Use a collection whose model embeds words too: CLIP, SigLIP.';
    END IF;
    IF model.logit_scale IS NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('the scale of model "%s" is not known yet', model.name),
            HINT = 'The first worker that loads the model records it: run imgvec backfill.';
    END IF;
    fewest := CASE WHEN model.logit_bias IS NULL THEN 2 ELSE 1 END;
    IF cardinality($2) NOT BETWEEN fewest AND 1000 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s labels were given; expected %s to 1000', cardinality($2), fewest),
            HINT = 'Pass labels that exclude each other: a softmax model shares the probability among those it is given.';
    END IF;
    IF (SELECT count(DISTINCT u.label) FROM unnest($2) AS u(label)) < cardinality($2) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a label was given twice',
            HINT = 'Give each label once: equal labels would share their probability.';
    END IF;
    SELECT array_agg(imgvec.embed_text($1, u.label) ORDER BY u.position) INTO label_embeddings
    FROM unnest($2) WITH ORDINALITY AS u(label, position);
    logit_scale := model.logit_scale;
    logit_bias := model.logit_bias;
END
$function$;
REVOKE ALL ON FUNCTION imgvec.embed_labels(text, text[]) FROM PUBLIC;
