"""An object server for benchmarks that speaks as S3, GCS and Azure do: static files behind a link
shaped like a cloud's."""
