"""Files to records: lines of JSON, elements of JSON, rows of CSV and of Parquet."""
