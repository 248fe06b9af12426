-- rendering: the version of the rules by which workers and queries render pictures (imgvec_pg/images/rendering/version.py); 1 for
-- what was there before it was noted. rendering_since: when it became that of a collection that had another, null for never. While
-- `imgvec retry --rendering` goes through the rows, rendering_from is the version of those that were embedded before that moment and
-- are not compared yet, and rendering_after the last key that is; else both are null.
ALTER TABLE imgvec.collection
    ADD COLUMN rendering smallint NOT NULL DEFAULT 1,
    ADD COLUMN rendering_since timestamptz,
    ADD COLUMN rendering_from smallint,
    ADD COLUMN rendering_after jsonb,
    ADD CONSTRAINT collection_rendering_range CHECK (rendering >= 1 AND rendering_from >= 1);
