-- A stable name that points to one collection; only an alias ever switches.
CREATE TABLE imgvec.alias (
    name text PRIMARY KEY,
    collection_id integer NOT NULL,
    switched_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT alias_collection_id_fkey FOREIGN KEY (collection_id) REFERENCES imgvec.collection (id) ON DELETE CASCADE,
    CONSTRAINT alias_name_is_plain CHECK (name ~ '^[a-z_][a-z0-9_]{{0,39}}$')
);
CREATE INDEX alias_collection_id ON imgvec.alias (collection_id);
