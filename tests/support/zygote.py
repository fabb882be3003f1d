"""The `lipwire` command in a process of its own, forked from one that has imported it: exit code, output, signals and
what is left behind are those of the command, and the half second that it takes to import is spent once."""

from __future__ import annotations

import array
import contextlib
import functools
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

MESSAGE = 1 << 20
"""Bytes of arguments and environment, at most."""


class Zygote:
    """Runs the command, one at a time."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL
            )

    def run(self, place: Path, args: list[str], environment: dict[str, str], timeout: float) -> tuple[int, str, str]:
        """(exit code, or minus the signal; stdout; stderr) of `lipwire ARGS` in that directory.

        Raises:
            subprocess.TimeoutExpired: it has not ended in time, and is killed.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            task = json.dumps({"place": str(place), "args": args, "environment": environment}).encode()
            descriptors = array.array("i", [out.fileno(), err.fileno()])
            self._ours.settimeout(timeout)
            self._ours.sendmsg([task], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
            pid = int(self._ours.recv(64))
            try:
                code = int(self._ours.recv(64))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                self._ours.settimeout(None)
                self._ours.recv(64)
                raise subprocess.TimeoutExpired(args, timeout) from None
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        return code, texts[0], texts[1]

    def close(self) -> None:
        """Ends it."""
        self._ours.close()
        self._process.wait()


@functools.cache
def zygote() -> Zygote:
    """The one of this process, until `let_go`."""
    return Zygote()


def let_go() -> None:
    """Ends it, if there is one: other tests count the children of this process."""
    if zygote.cache_info().currsize:
        zygote().close()
        zygote.cache_clear()


def _serve(sock: socket.socket) -> None:
    importlib.import_module("lipwire.cli.main")  # what every command needs; the rest is imported by who needs it
    while True:
        task, descriptors, _, _ = socket.recv_fds(sock, MESSAGE, 2)
        if not task:
            return
        pid = os.fork()
        if not pid:
            _become(sock, json.loads(task), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        sock.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        sock.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(sock: socket.socket, task: dict[str, object], descriptors: list[int]) -> NoReturn:
    """The command, as its entry point would run it."""
    code = 70
    try:
        sock.close()
        os.chdir(str(task["place"]))
        for descriptor, number in zip(descriptors, (1, 2), strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(task["environment"])  # type: ignore[call-overload]
        tempfile.tempdir = None
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["lipwire", *task["args"]]  # type: ignore[misc]
        from lipwire.cli.entry import main

        try:
            main()
            code = 0
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        except BaseException:
            traceback.print_exc()
            code = 1
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given:
        _serve(given)
