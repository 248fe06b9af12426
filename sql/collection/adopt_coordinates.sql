-- From this transaction on within_* ask the radius index.
UPDATE imgvec.{axis_table} SET is_complete = true;
UPDATE imgvec.collection SET has_radius_index = true WHERE id = {collection_id};
