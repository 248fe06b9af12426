-- The registry's names of columns of the source, after some were renamed; names maps old names to new ones. Keys are JSON
-- objects by column.
UPDATE imgvec.collection AS c
SET key_columns = {key_columns}::text[], watch_columns = {watch_columns}::text[], path_column = {path_column},
    content_column = {content_column},
    listing_after = (SELECT jsonb_object_agg(coalesce(r.value, k.key), k.value)
                     FROM jsonb_each(nullif(c.listing_after, 'null')) AS k
                     LEFT JOIN jsonb_each_text({names}::jsonb) AS r ON r.key = k.key)
WHERE c.id = {collection_id};
