-- imgvec.near_<collection>_text(words): each embedded row by cosine distance to words.
-- The sub-select is evaluated once, with literals and with generic plans; embed_text raises for NULL.
{create} imgvec.{near_text}(words text)
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE sql STABLE PARALLEL RESTRICTED
BEGIN ATOMIC
    SELECT {e_keys}, {ranked}.embedding OPERATOR({vector}.<=>) (SELECT imgvec.embed_text({collection_name}, {near_text}.words))
    FROM {ranked_rows};
END;
