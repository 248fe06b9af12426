-- Note the last key that the first fill has filed, and its end.
UPDATE imgvec.collection
SET listing_after = nullif(%(last_key)s::jsonb, 'null'), listed_at = CASE WHEN %(is_last)s THEN now() END
WHERE id = %(collection_id)s;
