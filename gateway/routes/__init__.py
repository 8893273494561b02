"""The routes that exist; every other path and method is denied."""
