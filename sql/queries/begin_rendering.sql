-- Give a collection another rendering and note what its rows have; under lock_collection_exclusive.sql, so that all that was written
-- by the one before is there. clock_timestamp(): later than the start of any transaction that wrote by it. One that is under way
-- already, to the same version, goes on where it was. Gives rendering_from, rendering_since and rendering_after.
UPDATE imgvec.collection AS c
SET rendering = %(newest)s,
    rendering_from = coalesce(c.rendering_from, c.rendering),
    rendering_since = CASE WHEN c.rendering < %(newest)s THEN clock_timestamp() ELSE c.rendering_since END,
    rendering_after = CASE WHEN c.rendering < %(newest)s THEN NULL ELSE c.rendering_after END
WHERE c.id = %(collection_id)s AND (c.rendering < %(newest)s OR c.rendering_from IS NOT NULL)
RETURNING c.rendering_from, c.rendering_since, c.rendering_after;
