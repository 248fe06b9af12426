"""One module a command; a group of commands is a package."""
