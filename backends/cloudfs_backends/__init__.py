"""Object stores behind one protocol: S3, Google Cloud Storage, Azure Blob Storage, folders."""
