-- The mean vector of rows, as text; keys are JSON objects.
SELECT imgvec.mean_embedding(%(collection)s, %(keys)s::jsonb[])::text;
