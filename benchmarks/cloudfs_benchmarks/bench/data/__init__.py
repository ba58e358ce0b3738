"""What is read: the benchmark's own data set, or the user's, as lists of files and of samples."""
