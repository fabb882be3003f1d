"""The adapters that own the sockets: `http` (Litestar on uvicorn) and `ws` (websockets)."""
