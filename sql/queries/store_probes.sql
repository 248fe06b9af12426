-- How many lists of its IVFFlat index searches of a collection read; null for the root of the lists.
UPDATE imgvec.collection SET probes = %(value)s WHERE id = %(collection_id)s;
