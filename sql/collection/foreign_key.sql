-- Keeps vectors of deleted rows out. TRUNCATE and DROP of the source then need CASCADE. A key that is put back is NOT VALID at first.
ALTER TABLE imgvec.{embedding_table} ADD CONSTRAINT {constraint_name}
    FOREIGN KEY ({keys}) REFERENCES {relation} ({keys}) ON DELETE CASCADE ON UPDATE CASCADE{validity};
