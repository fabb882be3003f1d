"""The C extractor, compiled on the spot: its features for training, its rows for evaluation.

Training reads features from the very code that will run (csrc/viseme.c is included, not re-implemented), so there is
nothing to keep in step.
"""

import ctypes
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SHIM = """
#include "viseme.c"
#include "fft.c"
#include "viseme_model.c"
/* Every frame from a cold start with the given prior: features, log-mel, and whether the gate is open. */
int64_t shim_features(const float *prior, const int16_t *pcm, int64_t n, int16_t *feature, float *mel, uint8_t *open)
{
    lw_viseme *v;
    int64_t frames = 0;
    if (lw_viseme_open(&v) < 0)
        return -1;
    memcpy(v->prior, prior, sizeof v->prior);
    lw_viseme_reset(v);
    for (int64_t at = -LEAD; at + WINDOW <= n; at += LW_VISEME_HOP, frames++) {
        v->zeros = 0;
        for (int i = 0; i < WINDOW; i++) {
            v->pcm[i] = at + i >= 0 ? pcm[at + i] : 0;
            v->zeros = v->pcm[i] ? 0 : v->zeros + 1;
        }
        analyse(v, mel + frames * LW_MEL);
        push_frame(v);
        memcpy(feature + frames * LW_MEL, v->frames[LW_WINDOW - 1].feature, LW_MEL * sizeof *feature);
        open[frames] = (uint8_t)v->frames[LW_WINDOW - 1].open;
    }
    lw_viseme_close(&v);
    return frames;
}
int64_t shim_rows(const int16_t *pcm, int64_t n, float *rows, int64_t cap)
{
    lw_viseme *v;
    if (lw_viseme_open(&v) < 0)
        return -1;
    int64_t count = lw_viseme_process(v, pcm, (size_t)n, rows, (size_t)cap);
    lw_viseme_close(&v);
    return count;
}
"""


def shape():
    """The model's dimensions, LW_MEL and so on, from viseme_model.h."""
    text = (ROOT / "csrc/viseme_model.h").read_text()
    return {name: int(value) for name, value in re.findall(r"#define LW_(\w+) (\d+)", text)}


class Frontend:
    def __init__(self):
        self.shape = shape()
        with tempfile.TemporaryDirectory() as folder:
            source, library = Path(folder, "shim.c"), Path(folder, "shim.so")
            source.write_text(SHIM)
            subprocess.run(
                ["cc", "-std=c11", "-O3", "-ffp-contract=off", "-shared", "-fPIC", "-I", ROOT / "csrc", source,
                 "-o", library, "-lm"],
                check=True,
            )  # fmt: skip
            self._lib = ctypes.CDLL(str(library))
        pointer = ctypes.c_void_p
        self._lib.shim_features.argtypes = [pointer, pointer, ctypes.c_int64, pointer, pointer, pointer]
        self._lib.shim_features.restype = ctypes.c_int64
        self._lib.shim_rows.argtypes = [pointer, ctypes.c_int64, pointer, ctypes.c_int64]
        self._lib.shim_rows.restype = ctypes.c_int64
        self.lookahead = self._lib.lw_viseme_lookahead()

    def features(self, pcm, prior):
        """-> (features int16 (n, MEL), log-mel float32 (n, MEL), gate uint8 (n,))"""
        pcm = np.ascontiguousarray(pcm, np.int16)
        prior = np.ascontiguousarray(prior, np.float32)
        room = len(pcm) // 160 + 1
        feature = np.zeros((room, self.shape["MEL"]), np.int16)
        raw = np.zeros((room, self.shape["MEL"]), np.float32)
        gate = np.zeros(room, np.uint8)
        n = self._lib.shim_features(
            prior.ctypes.data, pcm.ctypes.data, len(pcm), feature.ctypes.data, raw.ctypes.data, gate.ctypes.data
        )
        return feature[:n], raw[:n], gate[:n]

    def rows(self, pcm):
        """The extractor's output for the whole of pcm, the look-ahead fed with silence: (n, 17), n = hops in pcm."""
        pcm = np.concatenate([np.asarray(pcm, np.int16), np.zeros(self.lookahead, np.int16)])
        rows = np.zeros((len(pcm) // 160 + 1, 17), np.float32)
        n = self._lib.shim_rows(pcm.ctypes.data, len(pcm), rows.ctypes.data, len(rows))
        return rows[:n]
