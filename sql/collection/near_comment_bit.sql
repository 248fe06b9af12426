-- What near_* promise where the index holds one bit a dimension, which their plain ORDER BY cannot use.
COMMENT ON FUNCTION imgvec.{near}({vector}.halfvec) IS
    'Rows by cosine distance (0 to 2) to a vector; add ORDER BY distance LIMIT k. Exact: it compares all rows, since the index of this collection holds bits. For the index: search_*.';
COMMENT ON FUNCTION imgvec.{near_row}({key_types}) IS
    'The other rows by cosine distance (0 to 2) to the row with this key; add ORDER BY distance LIMIT k. Exact: it compares all rows, since the index of this collection holds bits.';
COMMENT ON FUNCTION imgvec.{near_text}(text) IS
    'Rows by cosine distance (0 to 2) to words; add ORDER BY distance LIMIT k. Exact: it compares all rows, since the index of this collection holds bits. For the index: search_*(imgvec.embed_text(...)).';
