"""Topic ranges as Parquet and back, without loss."""
