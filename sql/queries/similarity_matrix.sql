-- The cosine similarity of each row with each, row by row; keys are JSON objects.
SELECT m.similarity FROM imgvec.similarity_matrix(%(collection)s, %(keys)s::jsonb[]) AS m;
