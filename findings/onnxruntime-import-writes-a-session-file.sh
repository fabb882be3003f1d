#!/bin/sh
# Importing onnxruntime writes a file with a session's id into the temporary folder, before any model is loaded.
#
# Expected: `import onnxruntime` reads its libraries and writes nothing; telemetry is a matter of the Windows builds.
# What happens: the wheel for Linux has a telemetry library in it, which at import writes `.ses`, a time and an id, into
# $TMPDIR, and takes it up again at the next import. `disable_telemetry_events()` comes too late, since it has to be
# imported first. Tests and sandboxes that look at what a program leaves behind find it, and who shares a temporary
# folder shares the id.
# Seen with: onnxruntime 1.32.0, Python 3.11, Linux x86-64.
# What to do: give the process a TMPDIR of its own where this matters, and expect the file.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check onnxruntime==1.32.0
mkdir temporary
TMPDIR="$there/temporary" env/bin/python -c "import onnxruntime as o; o.disable_telemetry_events(); print(o.__version__)"
ls -A temporary
cp temporary/.ses first
sed 's/^\(....\).*/\1.../' first
TMPDIR="$there/temporary" env/bin/python -c "import onnxruntime"
cmp first temporary/.ses
test "$(ls -A temporary)" = .ses
echo "as described: the import alone writes .ses, and the next one finds it"
# Output as seen:
#   1.32.0
#   .ses
#   1796...
#   4ad3...
#   as described: the import alone writes .ses, and the next one finds it
