"""One file per measurement, named like its config section, its rule and its store."""
