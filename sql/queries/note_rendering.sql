-- Note the last key whose picture was compared; once all are, that none is left.
UPDATE imgvec.collection AS c
SET rendering_after = CASE WHEN NOT %(is_last)s THEN nullif(%(last_key)s::jsonb, 'null') END,
    rendering_from = CASE WHEN NOT %(is_last)s THEN c.rendering_from END
WHERE c.id = %(collection_id)s AND c.rendering = %(newest)s AND c.rendering_from IS NOT NULL;
