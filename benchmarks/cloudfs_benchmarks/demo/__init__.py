"""`make demo`: an embedded bucket, a mount, three epochs of training, a picture, and no traces."""
