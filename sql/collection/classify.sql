-- imgvec.classify_<collection>(labels, among): how probable the model finds each label for each embedded row, or for the given
-- keys; rank 1 is the most probable. See imgvec.label_probabilities: with a softmax model the labels compete and add up to
-- 1 even where none fits. 2 (sigmoid: 1) to 1,000 different labels, embedded by imgvec.embed_text. A NULL among raises. STABLE.
{create} imgvec.{classify}(labels text[], among {among_type}[] DEFAULT {all_rows})
RETURNS TABLE ({key_definitions}, label text, probability double precision, rank bigint)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE ROWS 10000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $classify$
#variable_conflict use_column
DECLARE
    label_embeddings {vector}.halfvec[];
    scale double precision;
    bias double precision;
    is_filtered boolean;
BEGIN
    {check_among}
    SELECT f.label_embeddings, f.logit_scale, f.logit_bias INTO label_embeddings, scale, bias
    FROM imgvec.embed_labels({collection_name}, $1) AS f;
    RETURN QUERY
    SELECT {e_keys}, one.label, one.probability, one.rank
    FROM imgvec.{embedding_table} AS e
    CROSS JOIN LATERAL (
        SELECT u.label, u.probability, rank() OVER (ORDER BY u.probability DESC) AS rank
        FROM unnest($1, imgvec.label_probabilities(
            -- unnest() gives an array in its order, and nothing here changes it.
            ARRAY(
                SELECT 1 - (e.embedding OPERATOR({vector}.<=>) l.embedding) FROM unnest(label_embeddings) AS l(embedding)
            ), scale, bias)) AS u(label, probability)
    ) AS one
    WHERE NOT is_filtered OR {e_key_among_2};
END
$classify$;
COMMENT ON FUNCTION imgvec.{classify}(text[], {among_type}[]) IS
    'Each embedded row with each label and the probability the model gives it among these labels; rank 1 is the most probable.';
