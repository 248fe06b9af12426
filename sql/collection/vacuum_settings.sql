-- When autovacuum comes to a table of vectors, whatever the server's own settings are: they are often far lower, and VACUUM repairs an
-- HNSW index around each dead row. Where 0.01, 0.05, 0.1, 0.2 and 0.4 of 4,000 rows are dead it takes 0.35, 0.9, 1.4, 1.8 and 2.3
-- times what building takes (64 dimensions, pgvector 0.8.6): for each of these rows four times as much at 0.01 as at 0.2. Until then
-- near_* pass over what is dead: of 40 rows they find 33 at 0.2, while search_* go on until they have all. After inserts it comes as
-- rarely, as that repairs too what happens to be dead.
WITH (
    autovacuum_vacuum_scale_factor = 0.2, autovacuum_vacuum_threshold = 50,
    autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_insert_threshold = 1000
)
