"""What is computed once: features and tokens of clips, kept for the processes of a run and for later runs."""
