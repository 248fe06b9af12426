"""Set-up of a database: roles and grants, the text relay, and taking imgvec out again."""
