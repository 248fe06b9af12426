-- Forget the notes up to one: reconcile has found what they missed.
DELETE FROM imgvec.unseen_change AS u WHERE u.collection_id = %s AND u.id <= %s;
