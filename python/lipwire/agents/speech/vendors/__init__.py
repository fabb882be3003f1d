"""Speech by services of others: one module for each vendor, over one engine for HTTP and one for WebSocket."""
