"""`python -m lqtui` is the `lqtui` command."""

from lqtui.cli import main

if __name__ == "__main__":
    main()
