"""Models of speech: which there are, where they come from, and the process that they run in."""

import os

# From its import on, onnxruntime keeps a device's id and events for its maker (findings/), which nobody here has asked
# for. Whoever wants that has set the variable. Nothing below this package is imported before it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
