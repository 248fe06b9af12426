-- The key, as text, at which a part of an export ends: of the last of so many rows behind a key. No row where there are fewer.
SELECT {texts_of_key}
FROM imgvec.{embedding_table} AS e
{of_range}
ORDER BY {e_keys} OFFSET {skipped} LIMIT 1
