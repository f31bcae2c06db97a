"""`python -m dspex`: the command, where its script is not on the PATH."""

from dspex.cli.command import main

if __name__ == "__main__":
    main()
