-- ATTACH takes this lock for the foreign key. Taken before those of the embeddings: whoever has read the source and then searches would
-- wait for us, and we for them.
LOCK TABLE ONLY {relation} IN ACCESS EXCLUSIVE MODE;
