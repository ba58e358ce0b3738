"""The FUSE side: decodes kernel requests, calls the filesystem, encodes the replies."""
