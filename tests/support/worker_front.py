"""A front process to be killed: `python -m support.worker_front` starts workers and a session, says so in a line of
JSON, and stays."""

from __future__ import annotations

import asyncio
import sys

import msgspec

from support.workers import Farm


async def main() -> None:
    async with Farm(2) as farm:
        session = await farm.start("one")
        assert session is not None
        told = {
            "pids": [worker.pid for worker in farm.pool.workers],
            "ports": [worker.ws_port for worker in farm.pool.workers],
            "folder": farm.pool.folder,
            "reply": session.reply,
            "body": session.body,
        }
        sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
        sys.stdout.buffer.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
