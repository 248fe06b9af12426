-- A stable name that points to one collection; only an alias ever switches. previous_id is what it pointed to before.
-- Its functions near_<alias>, search_<alias> and so on are the collection's own under its name; a switch replaces their
-- bodies and keeps them, so prepared statements and views go on.
CREATE TABLE imgvec.alias (
    name text PRIMARY KEY,
    collection_id integer NOT NULL,
    previous_id integer,
    switched_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT alias_collection_id_fkey FOREIGN KEY (collection_id) REFERENCES imgvec.collection (id) ON DELETE CASCADE,
    CONSTRAINT alias_previous_id_fkey FOREIGN KEY (previous_id) REFERENCES imgvec.collection (id) ON DELETE SET NULL,
    CONSTRAINT alias_name_is_plain CHECK (name ~ '^[a-z_][a-z0-9_]{{0,39}}$')
);
CREATE INDEX alias_collection_id ON imgvec.alias (collection_id);
