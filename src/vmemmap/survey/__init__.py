"""Many dumps asked the same questions: a row for each, kept in Parquet parts."""
