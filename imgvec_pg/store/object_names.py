"""Names of a collection's objects in the schema imgvec, by the `{parts}` of SQL files that stand for them."""


def trigger_function_names(name: str) -> dict[str, str]:
    """Return the names of the functions behind the triggers on its source."""
    return {f"on_{event}": f"{name}_on_{event}" for event in ("insert", "update", "delete", "truncate")}


def object_names(name: str) -> dict[str, str]:
    """Return the names of all else but its search functions and its HNSW index."""
    return {
        "insert_trigger": f"imgvec_{name}_insert",
        "update_trigger": f"imgvec_{name}_update",
        "delete_trigger": f"imgvec_{name}_delete",
        "truncate_trigger": f"imgvec_{name}_truncate",
        "embedding_table": f"{name}_embedding",
        "content_index": f"{name}_embedding_content_hash",
        "picture_table": f"{name}_picture",
        "picture_key": f"{name}_picture_key",
        "on_picture": f"{name}_on_picture",
        "on_unknown_picture": f"{name}_on_unknown_picture",
        "constraint_name": f"{name}_embedding_source_fkey",
        "key_type": f"{name}_key",
    }
