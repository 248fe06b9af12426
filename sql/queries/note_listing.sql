-- Note the last key that the first fill has enqueued; once it has ended there is none, as readers see the table.
UPDATE imgvec.collection
SET listing_after = CASE WHEN NOT %(is_last)s THEN nullif(%(last_key)s::jsonb, 'null') END,
    listed_at = CASE WHEN %(is_last)s THEN now() END
WHERE id = %(collection_id)s;
