"""Few examples in, an answer out: what a clip looks and moves like, and which examples that resembles."""
