"""Where rasters are stored that are not on this machine: addresses, secrets, retries, clients of stores."""
