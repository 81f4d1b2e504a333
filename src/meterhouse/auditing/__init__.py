"""The same numbers again, in DuckDB SQL."""
