"""The site that `make run` starts. Nothing in `sf_integration` knows of it."""
