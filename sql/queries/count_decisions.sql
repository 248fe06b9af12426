-- Decisions about duplicates, and how many of them are about a picture that no embedded row has.
SELECT count(*), count(*) FILTER (WHERE NOT (({has_first}) AND ({has_second}))) FROM imgvec.duplicate_decision AS d
