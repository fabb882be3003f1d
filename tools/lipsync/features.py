"""The C extractor, compiled on the spot: its features, from the very code that will run.

csrc/viseme.c is included, not re-implemented, so there is nothing to keep in step.
"""

import ctypes
import functools
import hashlib
import os
import platform
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "lipwire", "lipsync")
OWN = ("viseme.c", "viseme_model.c")  # the shim has these
SHIM = """
#include "viseme.c"
const lw_viseme_model lw_viseme_weights = {.seen = {0}}; /* features need none */
/* Every frame from a cold start with the given prior and frequency axis: features, log-mel, is the gate open? */
int64_t shim_features(const float *prior, double warp, const int16_t *pcm, int64_t n, int16_t *feature, float *mel,
                      uint8_t *open)
{
    static lw_viseme_tables warped;
    lw_viseme *v;
    int64_t frames = 0;
    if (lw_viseme_open(&v, NULL) < 0)
        return -1;
    warped = *v->tables;
    lw_viseme_bands(&warped, warp);
    v->tables = &warped;
    lw_viseme_reset(v);
    memcpy(v->mean, prior, sizeof v->mean);
    for (int64_t at = -LEAD; at + LW_VISEME_FRAME <= n; at += LW_VISEME_HOP, frames++) {
        _Alignas(64) float bands[LW_MEL_VALUES], power[LW_FFT_BINS];
        v->zeros = 0;
        for (int i = 0; i < LW_VISEME_FRAME; i++) {
            v->pcm[i] = at + i >= 0 ? pcm[at + i] : 0;
            v->zeros = v->pcm[i] ? 0 : v->zeros + 1;
        }
        analyse(v, power, bands);
        push_frame(v);
        memcpy(mel + frames * LW_MEL, bands, LW_MEL * sizeof *mel);
        memcpy(feature + frames * LW_FEATURES, v->feature + (LW_WINDOW - 1) * LW_FEATURES,
               LW_FEATURES * sizeof *feature);
        open[frames] = (uint8_t)v->gate.open;
    }
    lw_viseme_close(&v);
    return frames;
}
"""


def shape():
    """The model's dimensions, LW_MEL and so on, from viseme_model.h."""
    text = (ROOT / "csrc/viseme_model.h").read_text()
    return {name: int(value) for name, value in re.findall(r"#define LW_(\w+) (\d+)\b", text)}


def _built():
    """The shim and the core behind it as a shared library, in the cache under a name that changes with the sources."""
    core = ROOT / "csrc"
    vectors = core / ("x86" if platform.machine() == "x86_64" else "arm")
    sources = sorted([*core.glob("*.c"), *vectors.glob("*.c"), *core.rglob("*.h")])
    digest = hashlib.sha256(SHIM.encode())
    for path in sources:
        digest.update(path.read_bytes())
    library = FOLDER / f"front-{digest.hexdigest()[:16]}.so"
    if not library.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            shim, made = Path(folder, "shim.c"), Path(folder, "made.so")
            shim.write_text(SHIM)
            parts = [shim, *(path for path in sources if path.suffix == ".c" and path.name not in OWN)]
            parts.append(vectors / "viseme.c")
            command = [
                "cc",
                "-std=gnu11",
                "-O3",
                '-DLIPWIRE_VERSION="0"',
                "-ffp-contract=off",
                "-shared",
                "-fPIC",
                "-I",
                core,
                "-I",
                core / "include",
            ]
            subprocess.run([*command, *parts, "-o", made, "-lm", "-lpthread"], check=True)
            made.rename(library)
    return library


class Front:
    def __init__(self):
        self.shape = shape()
        self._lib = ctypes.CDLL(str(_built()))
        pointer = ctypes.c_void_p
        self._lib.shim_features.argtypes = [
            pointer, ctypes.c_double, pointer, ctypes.c_int64, pointer, pointer, pointer,
        ]  # fmt: skip
        self._lib.shim_features.restype = ctypes.c_int64

    def features(self, pcm, prior, warp=1.0):
        """-> (features int16 (n, FEATURES), log-mel float32 (n, MEL), gate uint8 (n,)). `warp` stretches the frequency
        axis: a longer or shorter vocal tract."""
        pcm = np.ascontiguousarray(pcm, np.int16)
        prior = np.ascontiguousarray(prior, np.float32)
        room = len(pcm) // 160 + 1
        feature = np.zeros((room, self.shape["FEATURES"]), np.int16)
        mel = np.zeros((room, self.shape["MEL"]), np.float32)
        gate = np.zeros(room, np.uint8)
        n = self._lib.shim_features(
            prior.ctypes.data, warp, pcm.ctypes.data, len(pcm), feature.ctypes.data, mel.ctypes.data, gate.ctypes.data
        )
        return feature[:n], mel[:n], gate[:n]


@functools.cache
def front():
    """One per process: the shim has one set of warped tables."""
    return Front()
