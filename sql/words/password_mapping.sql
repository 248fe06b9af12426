CREATE USER MAPPING FOR CURRENT_USER SERVER imgvec_primary OPTIONS (user {user}, password {password});
