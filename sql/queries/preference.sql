-- The vector of what somebody likes, as text; keys are JSON objects.
SELECT imgvec.preference(%(collection)s, %(liked)s::jsonb[], %(disliked)s::jsonb[], %(disliked_weight)s)::text;
