"""The lip-sync benchmark: how right is a mouth, and how late?

- `labels`: phones to visemes and mouth groups, the one table.
- `sets`: labelled sets, read and written.
- `metrics`: what is measured, and the search for a system's delay.

`lipwire bench lipsync` runs it; docs/lipsync.md describes the method.
"""
