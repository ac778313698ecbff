"""Failure metrics of tables that need not fit into memory: counts by one GROUP BY a score, in files by DuckDB or where the table lives."""
