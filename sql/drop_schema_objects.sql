-- Undo 0001. Collections are dropped first (imgvec collection drop): without them nothing else depends on these.
DROP FUNCTION imgvec.embedding_of(text, text);
DROP FUNCTION imgvec.embedding_of(text, anyelement);
DROP TABLE imgvec.worker, imgvec.text_embedding, imgvec.failure, imgvec.job, imgvec.alias, imgvec.collection,
    imgvec.model, imgvec.image;
DROP SEQUENCE imgvec.version_seq;
