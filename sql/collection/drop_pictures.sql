-- The pictures of a collection whose searches ask an index over its rows.
DROP TRIGGER IF EXISTS imgvec_picture_insert ON imgvec.{embedding_table};
DROP TRIGGER IF EXISTS imgvec_picture_update ON imgvec.{embedding_table};
DROP TRIGGER IF EXISTS imgvec_unknown_picture ON imgvec.{embedding_table};
DROP TABLE IF EXISTS imgvec.{picture_table};
DROP FUNCTION IF EXISTS imgvec.{on_picture}();
DROP FUNCTION IF EXISTS imgvec.{on_unknown_picture}();
