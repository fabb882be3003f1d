#!/bin/sh
# `import onnxruntime` of the Linux wheel begins Microsoft's telemetry: a device id and a database of events in the home.
#
# Expected: telemetry is Windows' alone, as it was for years; an import on Linux writes no file, and a model that is run
# leaves nothing in the home.
# What happens: the import writes TMPDIR/.ses, and the first session ~/.cache/Microsoft/DeveloperTools/.onnxruntime/deviceid
# and onnxruntime.db; the library holds the address of a collector. `disable_telemetry_events()` comes too late for the
# first file, as it needs the import. With ORT_DISABLE_TELEMETRY=1 in the environment before that there is none of them.
# (That something is sent was not seen in the first seconds.)
# Seen with: onnxruntime 1.32.0, numpy 2.4.6, onnx 1.23.2, Python 3.11, Linux x86-64.
# What to do: set ORT_DISABLE_TELEMETRY=1 before anything imports onnxruntime, in child processes, too.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check onnxruntime==1.32.0 numpy==2.4.6 onnx==1.23.2
cat > model.py <<'END'
from onnx import TensorProto, checker, helper, save

value = helper.make_tensor_value_info
graph = helper.make_graph(
    [helper.make_node("Neg", ["x"], ["y"])], "g", [value("x", TensorProto.FLOAT, [1])], [value("y", TensorProto.FLOAT, [1])]
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model)
save(model, "model.onnx")
END
env/bin/python model.py
cat > run.py <<'END'
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
print("onnxruntime", onnxruntime.__version__, "ran a model")
END
files() { (cd "$1" && find . -type f | sort | tr '\n' ' '); }
mkdir -p plain/tmp quiet/tmp
env -u ORT_DISABLE_TELEMETRY -u XDG_CACHE_HOME HOME="$there/plain" TMPDIR="$there/plain/tmp" env/bin/python run.py
env -u XDG_CACHE_HOME ORT_DISABLE_TELEMETRY=1 HOME="$there/quiet" TMPDIR="$there/quiet/tmp" env/bin/python run.py
plain=$(files plain)
quiet=$(files quiet)
echo "as it comes it has written: $plain"
echo "with ORT_DISABLE_TELEMETRY=1: $quiet"
case "$plain" in
*deviceid*.ses*) test -z "$quiet" && exit 0 ;;
esac
echo "CHANGED: it is no longer as this script describes"
exit 1
# Output as seen:
#   onnxruntime 1.32.0 ran a model
#   onnxruntime 1.32.0 ran a model
#   as it comes it has written: ./.cache/Microsoft/DeveloperTools/.onnxruntime/deviceid ./.cache/Microsoft/DeveloperTools/.onnxruntime/onnxruntime.db ./tmp/.ses
#   with ORT_DISABLE_TELEMETRY=1:
