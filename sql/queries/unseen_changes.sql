-- Why triggers of a collection could not file changes.
SELECT DISTINCT u.message FROM imgvec.unseen_change AS u WHERE u.collection_id = %s ORDER BY 1;
