-- All rows with their distance, for nearest_pictures.sql to choose from, in no order. Not near_*: the picture would cost a join.
(SELECT {e_keys}, e.content_hash AS imgvec_picture, e.embedding OPERATOR({vector}.<=>) {query} AS distance
 FROM imgvec.{embedding_table} AS e
 -- A row that is searched with and was deleted since has no vector.
 WHERE {e_is_other} AND {query} IS NOT NULL)
