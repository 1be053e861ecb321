"""What reads several measurements: ensembles, fitted wedges, phase diagrams, verdicts."""
