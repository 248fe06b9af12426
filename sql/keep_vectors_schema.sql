-- Where `imgvec uninstall --keep-vectors` leaves the vectors.
CREATE SCHEMA imgvec_kept;
COMMENT ON SCHEMA imgvec_kept IS 'Vectors that imgvec uninstall --keep-vectors left: plain tables, the application''s own from then on';
