-- Whether the rows of a collection ($1) lie on shards, which have its model too. Schemas of before have no such table.
IF to_regclass('imgvec.sharded_collection') IS NOT NULL THEN
    spans_shards := EXISTS (SELECT FROM imgvec.sharded_collection AS h WHERE h.name = $1);
END IF;
