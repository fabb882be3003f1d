"""A module that waits for its link: `python -m support.spare_child CONTROL`; it says its process id, and ends with the
link."""

from __future__ import annotations

import os
import sys

from lipwire.cluster.spare import link_of
from lipwire.process.child import to_parent

if __name__ == "__main__":
    fd = link_of(int(sys.argv[1]))
    if fd is not None:
        link = to_parent(fd, str)
        link.send(os.getpid())
        for text in link.messages():
            link.send(text)
