-- What stands in WITH (...) of an IVFFlat index.
lists = {lists}
