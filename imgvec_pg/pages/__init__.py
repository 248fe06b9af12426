"""Pages to look at collections: one web server of this machine, one token, one frame for browse, review and others."""
