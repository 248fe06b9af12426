-- Before the embedding table is made anew, which a policy of the pictures asks: until it is back, no picture is shown.
DROP POLICY IF EXISTS follow_source ON imgvec.{picture_table};
