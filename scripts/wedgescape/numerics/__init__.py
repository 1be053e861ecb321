"""Numbers without networks: random streams, crossings, eigenpairs, intervals, scores."""
