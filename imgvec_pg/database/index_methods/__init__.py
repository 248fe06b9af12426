"""Index methods: of each how it is built, what a scan of it is set to, and what it costs; one module a method.

Which index serves a search PostgreSQL says (sql/index_methods/distance_indexes.sql), of whatever method: one that has no module
here is searched with the session's own settings of it, and built and tuned with its own commands.
"""
