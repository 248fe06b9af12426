-- Jobs of a collection that no worker has: of its first fill, with %(of_changes)s all.
SELECT j.id FROM imgvec.job AS j
WHERE j.collection_id = %(collection_id)s AND j.token IS NULL AND (j.version = 0 OR %(of_changes)s)
ORDER BY j.id;
