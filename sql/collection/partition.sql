-- One hash partition of the embedding table.
CREATE TABLE imgvec.{partition} PARTITION OF imgvec.{embedding_table}
    FOR VALUES WITH (MODULUS {modulus}, REMAINDER {remainder})
{vacuum_settings};
