-- What an ordinary HNSW index is on: the vectors. halfvec_cosine_ops serves <=>.
embedding {vector}.halfvec_cosine_ops
