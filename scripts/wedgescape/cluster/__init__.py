"""What a cluster is asked for, and how long a study will take."""
