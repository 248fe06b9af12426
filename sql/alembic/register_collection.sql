-- Register a collection and its model, as queries/register_collection.sql does with values that are bound.
INSERT INTO imgvec.model (name, dimensions, has_text) VALUES ({model}, {dimensions}, {has_text}) ON CONFLICT DO NOTHING;
IF NOT EXISTS (SELECT FROM imgvec.model AS m WHERE m.name = {model} AND m.dimensions = {dimensions}) THEN
    RAISE EXCEPTION 'model "%" is registered with another number of dimensions than %', {model}, {dimensions};
END IF;
INSERT INTO imgvec.collection
    (name, model_id, source, key_columns, key_types, key_equality_schemas, path_column, content_column,
     watch_columns, root, has_foreign_key, m, ef_construction, quantization, prompt, url_prefixes, rendering, bands,
     index_method, lists)
SELECT {collection_name}, m.id, {source}::regclass, {key_columns}, {key_types}, {key_equality_schemas}, {path_column}, {content_column},
       {watch_columns}, {root}, {has_foreign_key}, {m}, {ef_construction}, {quantization}, {prompt}, {url_prefixes}, {rendering}, {bands},
       {index_method}, {lists}
FROM imgvec.model AS m WHERE m.name = {model};
