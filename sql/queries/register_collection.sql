-- Register a collection and return its id.
INSERT INTO imgvec.collection
    (name, model_id, source, key_columns, key_types, key_equality_schemas, path_column, content_column,
     watch_columns, root, has_foreign_key, m, ef_construction, quantization, prompt, url_prefixes, rendering, bands,
     index_method, lists)
VALUES
    (%(name)s, %(model_id)s, %(source)s::oid, %(key_columns)s, %(key_types)s, %(key_equality_schemas)s,
     %(path_column)s, %(content_column)s, %(watch_columns)s, %(root)s, %(has_foreign_key)s, %(m)s, %(ef_construction)s,
     %(quantization)s, %(prompt)s, %(url_prefixes)s, %(rendering)s, %(bands)s, %(index_method)s, %(lists)s)
RETURNING id;
