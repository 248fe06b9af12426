-- Rows that are embedded and found like all others, and of whose picture somebody may want to know: blank, it is one single colour as
-- the model sees it; noted, a colour profile or an end marker is missing or broken. Those that the role that asks may see in the
-- source, as imgvec.failures has it.
CREATE OR REPLACE VIEW imgvec.noted_pictures WITH (security_barrier) AS
SELECT c.name AS collection, f.key, f.code, f.message, f.failed_at AS embedded_at
FROM imgvec.collection AS c
CROSS JOIN LATERAL (SELECT imgvec.rows_visible(c.id) AS rows OFFSET 0) AS visible
JOIN imgvec.failure AS f ON f.collection_id = c.id
WHERE f.code IN ('blank', 'noted') AND (visible.rows = 'all' OR (visible.rows = 'some' AND imgvec.row_visible(c.id, f.key)));
COMMENT ON VIEW imgvec.noted_pictures IS 'Rows whose picture is blank or odd, embedded all the same (of those that the role may see)';
