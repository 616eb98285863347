"""The files of a lake's tables as the Delta log names them, as JSON: `lake_files.py LAKE TABLE...`."""

import json
import pathlib
import sys

from deltalake import DeltaTable


def main() -> None:
    lake = pathlib.Path(sys.argv[1]) / "default"
    files = {table: DeltaTable(str(lake / table)).file_uris() for table in sys.argv[2:]}
    json.dump(files, sys.stdout)


if __name__ == "__main__":
    main()
