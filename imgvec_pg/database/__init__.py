"""Connections, SQL templates, migrations and the private server."""
