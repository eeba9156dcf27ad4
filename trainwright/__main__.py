"""`python -m trainwright`: the same as the command `trainwright`."""

from trainwright.cli import main

if __name__ == "__main__":
    main()
