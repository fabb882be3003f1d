"""The wire protocols, without I/O: bytes in, events out. Nothing here imports asyncio, a socket or a clock."""
