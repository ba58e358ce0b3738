"""What is measured: mounted directories and NFS exports, behind one way to read them."""
