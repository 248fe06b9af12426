-- Microseconds before an IVFFlat scan gives its first candidate: all centres, and the rows of the nearest lists; null of others.
{visit_row} * (index_lists + index_probes * embedded_rows / index_lists)
