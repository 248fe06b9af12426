-- Whether the collection has any embedding that this role may see.
SELECT EXISTS (SELECT FROM imgvec.{embedding_table});
