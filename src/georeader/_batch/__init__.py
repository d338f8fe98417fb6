"""Many saves of one kind: path templates, and the threads and processes that do the work."""
