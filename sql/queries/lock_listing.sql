-- How far the first fill is listed (null: not begun) and whether it is done; others who list wait for their turn.
SELECT c.listing_after, c.listed_at IS NOT NULL FROM imgvec.collection AS c WHERE c.id = %s
FOR NO KEY UPDATE;
