-- Decide about all pairs of a group; a decision of NULL takes them back.
SELECT imgvec.decide_duplicate_group(%(collection)s, %(group_id)s, %(decision)s);
