"""Writes csrc/viseme_model.c: the layout is that of csrc/viseme_model.h."""

import decode
import numpy as np

from lipwire_lipsync import labels

LANES = 32  # of the classes


def _padded(count):
    return -(-count // 16) * 16


def _quantised(matrix, bias, input_bits, parts=1):
    """(rows, columns), in `parts` blocks padded to 16 rows each -> weights as laid out, scales, biases."""
    weights, scales, biases = [], [], []
    for block, offset in zip(np.split(matrix, parts), np.split(bias, parts), strict=True):
        rows, columns = block.shape
        largest = np.maximum(np.abs(block).max(1), 1e-8)
        q = np.zeros((_padded(rows), columns), int)
        q[:rows] = np.round(block / largest[:, None] * 127)
        weights.append(q.reshape(-1, 16, columns // 4, 4).transpose(0, 2, 1, 3).ravel())
        scales.append(np.pad(largest / 127 / 2**input_bits, (0, _padded(rows) - rows)))
        biases.append(np.pad(offset, (0, _padded(rows) - rows)))
    return np.concatenate(weights), np.concatenate(scales), np.concatenate(biases)


def _lines(value):
    words = [f"{int(w)}" if value.dtype.kind == "i" else f"{np.float32(w):.9g}f" for w in value]
    words = [w if value.dtype.kind == "i" or "." in w or "e" in w else w[:-1] + ".0f" for w in words]
    line = "        "
    for word in words:
        if len(line) + len(word) > 118:
            yield line
            line = "        "
        line += f"{word},"
    yield line


def write(path, weights, shape, prior, follow, stay, share):
    p = {k: v.double().numpy() for k, v in weights.items()}
    bits = {k: shape[f"{k}_BITS"] for k in ("FEATURE", "CONV", "GRU")}
    units = shape["GRU"]
    conv = p["conv.weight"].transpose(0, 2, 1).reshape(shape["CONV"], -1)
    bias_in, bias_state = p["gru.bias_ih_l0"], p["gru.bias_hh_l0"].copy()
    candidate = np.pad(bias_state[2 * units :], (0, _padded(units) - units))
    bias_state[2 * units :] = 0
    conv, conv_scale, conv_bias = _quantised(conv, p["conv.bias"], bits["FEATURE"])
    gate_in, in_scale, gate_bias = _quantised(p["gru.weight_ih_l0"], bias_in + bias_state, bits["CONV"], 3)
    gate_state, state_scale, _ = _quantised(p["gru.weight_hh_l0"], bias_in, bits["GRU"], 3)
    heads = range(shape["HEADS"])
    weight = np.concatenate([p[f"heads.{i}.weight"] for i in heads])
    out, out_scale, out_bias = _quantised(weight, np.concatenate([p[f"heads.{i}.bias"] for i in heads]), bits["GRU"], 2)
    assert len(out_bias) == shape["HEADS"] * LANES
    seen = decode.BIAS / np.log(2) - decode.PRIOR * np.log2(share)
    fields = {
        "conv": conv, "gate_in": gate_in, "gate_state": gate_state, "out": out, "conv_scale": conv_scale,
        "conv_bias": conv_bias, "gate_in_scale": in_scale, "gate_state_scale": state_scale, "gate_bias": gate_bias,
        "candidate_bias": candidate, "out_scale": out_scale, "out_bias": out_bias, "prior": prior,
        "leave": np.pad(follow * (1 - stay)[:, None], ((0, 1), (0, 1))), "stay": np.pad(stay, (0, 1)),
        "seen": np.pad(seen, (0, 1)), "viseme": labels.TO_VISEME,
    }  # fmt: skip
    lines = ["/* Written by tools/lipsync/train.py; do not edit. */", '#include "viseme_model.h"', "",
             "const lw_viseme_model lw_viseme_weights = {"]  # fmt: skip
    for name, value in fields.items():
        value = np.asarray(value)
        if value.ndim == 0:
            lines.append(f"    .{name} = {np.float32(value):.9g}f,")
            continue
        lines.append(f"    .{name} = {{")
        for row in value if value.ndim == 2 else [value]:
            lines += ["        {", *_lines(row), "        },"] if value.ndim == 2 else _lines(row)
        lines.append("    },")
    path.write_text("\n".join([*lines, "};", ""]))
