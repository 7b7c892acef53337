"""The detached supervisor: ``python -m trimtab.supervisor OPTIONS_JSON PIPE``; `trimtab up --detach` runs it."""

import sys

import msgspec

from trimtab.supervisor.daemon import Pipe, serve
from trimtab.supervisor.options import UpOptions

if __name__ == "__main__":
    given = msgspec.json.decode(sys.argv[1], type=UpOptions)
    sys.exit(serve(given, Pipe(int(sys.argv[2]))))
