"""Reports over runs that were never trained."""
