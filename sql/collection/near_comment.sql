-- What near_* promise where the index holds the vectors.
COMMENT ON FUNCTION imgvec.{near}({vector}.halfvec) IS
    'Rows by cosine distance (0 to 2) to a vector; add ORDER BY distance LIMIT k. May return fewer than k rows under a selective filter: see search_*.';
COMMENT ON FUNCTION imgvec.{near_row}({key_types}) IS
    'The other rows by cosine distance (0 to 2) to the row with this key; add ORDER BY distance LIMIT k.';
COMMENT ON FUNCTION imgvec.{near_text}(text) IS
    'Rows by cosine distance (0 to 2) to words; add ORDER BY distance LIMIT k. May return fewer than k rows under a selective filter: see search_*.';
