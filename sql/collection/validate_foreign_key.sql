-- Check what was there before the foreign key was put back; the source is read and written meanwhile.
ALTER TABLE imgvec.{embedding_table} VALIDATE CONSTRAINT {constraint_name};
