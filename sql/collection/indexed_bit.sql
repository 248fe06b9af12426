-- What a binary HNSW index is on: one bit a dimension, its sign. bit_hamming_ops serves <~> between such expressions.
(({vector}.binary_quantize(embedding))::bit({dimensions})) {vector}.bit_hamming_ops
