"""HNSW indexes: their DDL, building them, replacing them online."""
