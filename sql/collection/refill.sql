-- TRUNCATE ... CASCADE of one partition has emptied the whole embedding table by its foreign key: the next
-- backfill lists the source again and files what is missing.
UPDATE imgvec.collection SET listing_after = NULL, listed_at = NULL WHERE id = {collection_id};
