"""Connections, SQL files and the private server."""
