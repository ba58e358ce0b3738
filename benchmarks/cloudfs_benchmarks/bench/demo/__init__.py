"""`cloudfs bench demo`: a bucket, an NFS server and nodes, all on this machine, to be measured."""
