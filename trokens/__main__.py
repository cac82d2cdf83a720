"""`python -m trokens`: the command `trokens`."""

from trokens.cli import main

if __name__ == "__main__":
    main()
