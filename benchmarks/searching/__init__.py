"""What benchmarks/search.py and benchmarks/selectivity.py share: the data, the filters, the clock."""
