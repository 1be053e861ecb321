"""Where every result came from: job frame, records, origins, fingerprints, archive."""
