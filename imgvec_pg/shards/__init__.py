"""Collections whose rows lie on several servers: the servers, and the functions by which their coordinator searches them."""
