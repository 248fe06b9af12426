-- A collection's radius index, which no function asks any more, with what keeps it in step.
DROP TRIGGER IF EXISTS imgvec_coordinates_insert ON imgvec.{embedding_table};
DROP TRIGGER IF EXISTS imgvec_coordinates_update ON imgvec.{embedding_table};
DROP TRIGGER IF EXISTS imgvec_coordinates_delete ON imgvec.{embedding_table};
DROP TRIGGER IF EXISTS imgvec_coordinates_truncate ON imgvec.{embedding_table};
DROP FUNCTION IF EXISTS imgvec.{on_coordinates}();
DROP TABLE IF EXISTS imgvec.{coordinate_table};
DROP TABLE IF EXISTS imgvec.{axis_table};
UPDATE imgvec.collection SET has_radius_index = false WHERE id = {collection_id} AND has_radius_index;
