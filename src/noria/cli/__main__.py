"""`python -m noria.cli` is `noria`."""

from noria.cli import main

main()
