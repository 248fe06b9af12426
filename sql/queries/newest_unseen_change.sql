-- The newest note of a change that a trigger could not file, null for none.
SELECT max(u.id) FROM imgvec.unseen_change AS u WHERE u.collection_id = %s;
