"""The command line, as ``python -m hvd_qgenx``."""

from hvd_qgenx.cli import main

if __name__ == "__main__":
    main(prog_name="hvd-qgenx")
