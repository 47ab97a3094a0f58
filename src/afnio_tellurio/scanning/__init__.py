"""All points of a project in a local cache of Parquet files, and as a frame of polars."""
