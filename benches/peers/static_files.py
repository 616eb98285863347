"""A server of the files in a folder, which says its port first: `static_files.py FOLDER`."""

import functools
import http.server
import sys


class Files(http.server.SimpleHTTPRequestHandler):
    """Connections are kept, and the system sends the files by itself."""

    protocol_version = "HTTP/1.1"

    def copyfile(self, source, outputfile) -> None:
        self.connection.sendfile(source)

    def log_message(self, *_) -> None:
        pass


def main() -> None:
    files = functools.partial(Files, directory=sys.argv[1])
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), files)
    print(serving.server_address[1], flush=True)
    serving.serve_forever()


if __name__ == "__main__":
    main()
