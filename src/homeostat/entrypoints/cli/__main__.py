"""``python -m homeostat.entrypoints.cli``: the command without its script."""

from homeostat.entrypoints.cli import main

if __name__ == "__main__":
    main()
