-- A collection's radius index: of each embedded row its coordinates along a few axes, in halves, by the row's key; and the axes. A row that
-- lies further away along them than a distance allows (database/radius_bound.py) is not within it, whatever the rest of its vector is.
-- Keys without an embedding do no harm: within_* look each up. is_complete is set in the transaction from which on within_* ask it, so that
-- an older snapshot, which does not see all coordinates, is told from others.
CREATE TABLE imgvec.{axis_table} (
    number integer PRIMARY KEY,
    axis {vector}.halfvec({dimensions}) NOT NULL,
    is_complete boolean NOT NULL DEFAULT false
);
-- In line up to the most dimensions that there are: each query reads all axes.
ALTER TABLE imgvec.{axis_table} ALTER COLUMN axis SET STORAGE PLAIN;
COMMENT ON TABLE imgvec.{axis_table} IS {axis_comment};
CREATE TABLE imgvec.{coordinate_table} (
    {key_definitions},
    {coordinates_column} {vector}.halfvec({axis_count}) NOT NULL,
    PRIMARY KEY ({keys})
);
COMMENT ON TABLE imgvec.{coordinate_table} IS {coordinate_comment};
