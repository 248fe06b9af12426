-- A condition by itself, for EXPLAIN: one that closes a bracket it has not opened is a syntax error here, and would not be within
-- brackets. It begins on a line of its own, and nothing follows it. With a bound value it can be one statement only.
EXPLAIN SELECT %(bound)s::integer FROM {source} WHERE
{condition}
