"""Opens one table with the deltalake package: python open_table.py TABLE.

One JSON object: its version, files, properties, newest checkpoint, the files of version 100, and the
seconds that opening it took, the least of three times."""

import json
import pathlib
import sys
import time

from deltalake import DeltaTable

from ending import end


def names(table: DeltaTable) -> list:
    found = [uri.rsplit("/", 1)[1] for uri in table.file_uris()]
    return sorted(found, key=lambda name: int(name.removeprefix("part-").removesuffix(".parquet")))


times = []
for _ in range(3):
    begun = time.perf_counter()
    table = DeltaTable(sys.argv[1])
    files = names(table)
    times.append(time.perf_counter() - begun)
newest = json.loads((pathlib.Path(sys.argv[1]) / "_delta_log" / "_last_checkpoint").read_text())
print(
    json.dumps(
        {
            "version": table.version(),
            "files": files,
            "properties": table.metadata().configuration,
            "checkpoint": newest["version"],
            "earlier": names(DeltaTable(sys.argv[1], version=100)),
            "seconds": min(times),
        }
    )
)
end()
