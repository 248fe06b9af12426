-- Writers of the source wait for us rather than in the middle of their statement: ATTACH takes this lock for the foreign key.
LOCK TABLE ONLY {relation} IN SHARE ROW EXCLUSIVE MODE;
