"""What a process needs to live beside others: how it ends, what it owns, and how it watches over its kin."""
