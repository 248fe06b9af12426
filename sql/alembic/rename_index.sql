-- The name of an index that was built beside the one it replaces.
ALTER INDEX {index} RENAME TO {new_name};
