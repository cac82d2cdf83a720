"""Every dataset is one file of this folder, which adds its description: a file that is put here is found."""
