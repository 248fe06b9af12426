"""Collections that are divided by tenant: which tenants are large, and how they get partitions of their own."""
