-- Rows that could not be embedded, and why: those that the role that asks may see in the source, no others.
-- It runs with its owner's rights on imgvec.failure, which readers have none on, and asks the source as the caller: a
-- view with security_invoker and a policy on imgvec.failure would be refused to workers, who read with row_security = off.
-- A row whose picture was taken away is noted under no_image, one that is embedded under blank or noted (imgvec.noted_pictures):
-- they did not fail.
-- security_barrier: no function in the caller's WHERE is shown a row that the caller may not see.
CREATE OR REPLACE VIEW imgvec.failures WITH (security_barrier) AS
SELECT c.name AS collection, f.key, f.code, f.message, f.attempts, f.failed_at
FROM imgvec.collection AS c
CROSS JOIN LATERAL (SELECT imgvec.rows_visible(c.id) AS rows OFFSET 0) AS visible
JOIN imgvec.failure AS f ON f.collection_id = c.id
WHERE f.code NOT IN ('no_image', 'blank', 'noted') AND (visible.rows = 'all' OR (visible.rows = 'some' AND imgvec.row_visible(c.id, f.key)));
COMMENT ON VIEW imgvec.failures IS 'Rows that could not be embedded, and why (of those that the role may see)';
