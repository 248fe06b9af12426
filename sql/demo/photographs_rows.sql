-- Add the photographs that are missing; one statement, so that imgvec's triggers file one set of jobs.
INSERT INTO shop.photograph (id, shows, altered, file)
SELECT p.id, p.shows, p.altered, p.file
FROM jsonb_to_recordset(%(photographs)s::jsonb) AS p(id integer, shows text, altered text, file text)
ON CONFLICT (id) DO NOTHING;
