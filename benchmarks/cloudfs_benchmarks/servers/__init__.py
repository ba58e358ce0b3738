"""An S3-speaking object server for benchmarks: static files behind a link shaped like a cloud's."""
