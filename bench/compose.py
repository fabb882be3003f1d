"""Pixels beside their peers, one core, in turn: libyuv (C to C), swscale through PyAV, OpenCV and Pillow composing the
same face, memcpy; and what composition alone takes for 1000 talking sessions.

Each pair is asserted to be of equal quality first. The C part (compose_peers.c) needs a C compiler, libyuv's headers
and `make ctest`; a peer that is missing is left out and said so.
"""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import harness
from harness import ROOT, Results
from lipwire import Frame, _core
from lipwire.avatar import art, bake
from lipwire.avatar.builtin import draw

C_GOALS = {
    "256x256 disc onto I420": 1.4,
    "256x256 sprite of random alpha onto I420": 1.4,
    "256x256 disc onto I420 against memcpy of as many bytes": 1 / 1.6,
    "256x256 sprite of random alpha onto I420 against memcpy of as many bytes": 1 / 1.6,
    "RGBA to I420 640x360": 1.3,
    "RGBA to I420 1280x720": 1.0,
}
SESSIONS, FPS = 1000, 25
Poses = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


def psnr(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, ((a.astype(float) - b.astype(float)) ** 2).mean())))


def against_c(results: Results, quick: bool) -> None:
    """libyuv and memcpy, without Python in between."""
    library = ROOT / "build" / "c" / "liblipwire_core.a"
    with tempfile.TemporaryDirectory(prefix="lipwire-bench-") as folder:
        program = Path(folder, "peers")
        source = ROOT / "bench" / "compose_peers.c"
        command = ["cc", "-O2", "-I", str(ROOT / "csrc/include"), str(source), str(library), "-lyuv", "-lm", "-pthread"]
        try:
            built = subprocess.run([*command, "-o", str(program)], capture_output=True, text=True, check=False)
        except OSError as exc:
            results.skip("libyuv", str(exc))
            return
        if built.returncode:
            results.skip("libyuv", "needs cc, libyuv-dev and `make ctest`")
            return
        rounds = 20 if quick else 300
        lines = subprocess.run([program, str(rounds)], capture_output=True, text=True, check=True).stdout.splitlines()
    for line in lines:
        name, *numbers = line.split(",")
        ours, theirs, worst, their_worst = map(float, numbers)
        assert worst <= max(1.0, their_worst), f"{name}: off by {worst}, the peer by {their_worst}"
        results.add(
            name,
            theirs / ours,
            "x as fast",
            n=rounds,
            goal=f">= {C_GOALS[name]:.4g}" if name in C_GOALS else None,
            us=ours / 1000,
            peer_us=theirs / 1000,
            worst_error=worst,
            peer_worst_error=their_worst,
        )


def against_swscale(results: Results, picture: Frame, quick: bool) -> None:
    """720p to two thirds, from and to objects that exist."""
    import av

    size = 854, 480
    theirs = av.VideoFrame.from_numpy_buffer(picture.i420, format="yuv420p")
    converter = av.video.reformatter.VideoReformatter()

    def swscale() -> Any:
        return converter.reformat(theirs, *size, interpolation="BILINEAR")

    # What both are judged by: the mean of each pixel's area, from 16 places in it.
    luma = picture.planes[0].astype(float)
    x, y = ((np.arange(n * 4) + 0.5) / 4 * m / n - 0.5 for n, m in ((size[0], 1280), (size[1], 720)))
    x0, y0 = np.clip(np.round(x), 0, 1279).astype(int), np.clip(np.round(y), 0, 719).astype(int)
    area = luma[np.ix_(y0, x0)].reshape(size[1], 4, size[0], 4).mean(axis=(1, 3))
    ours = psnr(picture.scaled(*size).planes[0], area)
    peer = psnr(swscale().to_ndarray()[: size[1]], area)
    assert ours >= peer - 1, f"ours {ours:.1f} dB, swscale {peer:.1f} dB"
    timed = harness.in_turn({"ours": lambda: picture.scaled(*size), "swscale": swscale}, 20 if quick else 200)
    best = {name: min(values) for name, values in timed.items()}
    results.add(
        "720p to 854x480 bilinear, swscale",
        best["swscale"] / best["ours"],
        "x as fast",
        n=len(timed["ours"]),
        goal=">= 2",
        us=best["ours"],
        peer_us=best["swscale"],
        psnr_db=ours,
        peer_psnr_db=peer,
    )


def talking(size: tuple[int, int], seconds: float) -> tuple[_core.NativeAvatar, Any, Poses]:
    """An avatar, what it was made of, and the poses of a speech."""
    drawn = draw("aria", *size)
    avatar = bake(drawn)
    performer = _core.Performer(avatar, prebuffer=0.0)
    performer.write(harness.espeak(48000)[: int(seconds * 48000) * 2], 48000)
    poses: Poses = []
    while len(poses) < seconds * FPS:
        performer.tick()
        while (frame := performer.read_frame()) is not None:
            poses.append((frame.axes, frame.visemes))
            del frame
    return avatar, drawn, poses


def placed(drawn: Any, axes: NDArray[np.float32], visemes: NDArray[np.float32]) -> list[tuple[int, int, float, float]]:
    """(layer, image, x, y) of a pose, as docs/composition.md says."""
    found = []
    for number, layer in enumerate(drawn.layers):
        x, y = layer.x, layer.y
        for axis, value in zip(art.AXES, axes, strict=False):
            x += layer.kx.get(axis, 0.0) * value
            y += layer.ky.get(axis, 0.0) * value
        image = 0
        if layer.select == "mouth":
            weights = visemes.copy()
            weights[0] += 1 - weights.sum()
            image = int(((drawn.mouth_coords - weights @ drawn.viseme_coords) ** 2).sum(axis=1).argmin())
        elif layer.select != "fixed":
            image = round(max(0.0, axes[art.AXES.index(layer.select)]) * (len(layer.images) - 1))
        found.append((number, image, round(x * 8) / 8, round(y * 8) / 8))
    return found


def with_opencv(drawn: Any) -> Callable[[Any], NDArray[np.uint8]]:
    """Premultiplied RGBA layers moved by warpAffine, blended by OpenCV's arithmetic, converted once."""
    import cv2

    cv2.setNumThreads(1)
    layers = []
    for layer in drawn.layers:
        images = []
        for image in layer.images:
            alpha = image[..., 3:].astype(np.uint16)
            images.append(np.dstack([((image[..., :3] * alpha + 127) // 255).astype(np.uint8), image[..., 3]]))
        layers.append(images)
    background = np.ascontiguousarray(drawn.background[..., :3])
    height, width = background.shape[:2]

    def compose(places: Any) -> NDArray[np.uint8]:
        frame = background.copy()
        for number, image, x, y in places:
            sprite = layers[number][image]
            x0, y0 = int(np.floor(x)), int(np.floor(y))
            size = sprite.shape[1] + 1, sprite.shape[0] + 1
            moved = cv2.warpAffine(sprite, np.array([[1, 0, x - x0], [0, 1, y - y0]]), size, flags=cv2.INTER_LINEAR)
            left, top, right, bottom = max(x0, 0), max(y0, 0), min(x0 + size[0], width), min(y0 + size[1], height)
            if left >= right or top >= bottom:
                continue
            part = moved[top - y0 : bottom - y0, left - x0 : right - x0]
            under = frame[top:bottom, left:right]
            inverse = cv2.cvtColor(255 - cv2.extractChannel(part, 3), cv2.COLOR_GRAY2BGR)
            faded = cv2.multiply(under, inverse, scale=1 / 255)
            frame[top:bottom, left:right] = cv2.add(faded, cv2.cvtColor(part, cv2.COLOR_BGRA2BGR))
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420))

    return compose


def with_pillow(drawn: Any) -> Callable[[Any], Any]:
    """Layers at whole pixels by alpha_composite, then Pillow's YCbCr (full range, chroma not subsampled)."""
    from PIL import Image

    layers = [[Image.fromarray(image) for image in layer.images] for layer in drawn.layers]
    background = Image.fromarray(drawn.background)
    width, height = background.size

    def compose(places: Any) -> Any:
        frame = background.copy()
        for number, image, x, y in places:
            sprite = layers[number][image]
            x0, y0 = round(x), round(y)
            box = max(0, -x0), max(0, -y0), min(sprite.width, width - x0), min(sprite.height, height - y0)
            if box[0] < box[2] and box[1] < box[3]:
                frame.alpha_composite(sprite, (max(0, x0), max(0, y0)), box)
        return frame.convert("RGB").convert("YCbCr")

    return compose


def tilted(poses: Poses) -> Poses:
    """The same with the head tilted, to and fro by as much as a speaker tilts it (2 degrees at most)."""
    out = []
    for number, (axes, visemes) in enumerate(poses):
        axes = axes.copy()
        axes[art.Axis.HEAD_ROLL] = 0.16 + 0.12 * np.sin(number / 8)
        out.append((axes, visemes))
    return out


def faces(results: Results, quick: bool) -> None:
    """A whole talking frame of the built-in avatar."""
    rounds = 3 if quick else 15
    for size in ((640, 360), (1280, 720)):
        avatar, drawn, poses = talking(size, 4)
        canvas = _core.Canvas(avatar)
        source, copy = np.ones(canvas.i420.size, np.uint8), np.zeros(canvas.i420.size, np.uint8)
        canvas.draw(*poses[-1])
        taken: list[float] = []
        copied: list[float] = []
        for _ in range(rounds):
            for pose in poses:
                began = time.perf_counter_ns()
                canvas.draw(*pose)
                middle = time.perf_counter_ns()
                np.copyto(copy, source)
                taken.append((middle - began) / 1000)
                copied.append((time.perf_counter_ns() - middle) / 1000)
        label, ours = f"talking frame {size[0]}x{size[1]}", harness.percentile(taken, 50)
        memcpy = harness.percentile(copied, 50)
        results.add(
            f"{label}, memcpy of one I420 frame",
            ours / memcpy,
            "x its time",
            n=len(taken),
            goal="<= 1" if size[0] == 1280 else None,
            us=ours,
            peer_us=memcpy,
        )
        turned: list[float] = []
        for _ in range(rounds):
            for pose in tilted(poses):
                began = time.perf_counter_ns()
                canvas.draw(*pose)
                turned.append((time.perf_counter_ns() - began) / 1000)
        results.add(f"{label}, the head tilted", harness.percentile(turned, 50), "us", n=len(turned))
        if size[0] == 1280:
            against_swscale(results, scene(canvas), quick)
            continue
        sessions(results, avatar, poses, quick)
        places = [placed(drawn, *pose) for pose in poses]
        for peer, package, make, goal in (("OpenCV", "cv2", with_opencv, 10), ("Pillow", "PIL", with_pillow, 50)):
            if not importlib.util.find_spec(package):
                results.skip(peer, f"no module {package}")
                continue
            compose = make(drawn)
            canvas.draw(*poses[20])
            shown, theirs = canvas.i420[: size[1]], compose(places[20])
            luma = theirs[: size[1]] if peer == "OpenCV" else np.asarray(theirs)[..., 0] * (219 / 255) + 16
            likeness = psnr(shown, luma)
            assert likeness > 25, f"{peer} shows another picture: {likeness:.1f} dB"
            peer_us: list[float] = []
            ours_us: list[float] = []
            for _ in range(1 if quick else 3):
                for pose, at in zip(poses, places, strict=True):
                    began = time.perf_counter_ns()
                    canvas.draw(*pose)
                    middle = time.perf_counter_ns()
                    compose(at)
                    ours_us.append((middle - began) / 1000)
                    peer_us.append((time.perf_counter_ns() - middle) / 1000)
            median = harness.percentile(ours_us, 50), harness.percentile(peer_us, 50)
            results.add(
                f"{label}, {peer}",
                median[1] / median[0],
                "x as fast",
                n=len(ours_us),
                goal=f">= {goal}",
                us=median[0],
                peer_us=median[1],
                luma_psnr_db=likeness,
            )


def scene(canvas: _core.Canvas) -> Frame:
    """What a canvas shows, as a frame."""
    frame = Frame(canvas.i420.shape[1], canvas.i420.shape[0] * 2 // 3)
    frame.i420[:] = canvas.i420
    return frame


def sessions(results: Results, avatar: _core.NativeAvatar, poses: Poses, quick: bool) -> None:
    """CPU seconds a second for the frames of 1000 sessions; 100 canvases stand for them, each at another pose."""
    canvases = [_core.Canvas(avatar) for _ in range(100)]
    for number, canvas in enumerate(canvases):
        canvas.draw(*poses[number % len(poses)])
    frames = SESSIONS * FPS // (10 if quick else 1)
    began = time.process_time()
    for number in range(frames):
        canvases[number % 100].draw(*poses[(number % 100 + number // 100 + 1) % len(poses)])
    used = (time.process_time() - began) * SESSIONS * FPS / frames
    began = time.process_time()
    for _ in range(frames):  # the same pose again draws nothing: what is left is Python's part
        canvases[0].draw(*poses[0])
    python = (time.process_time() - began) * SESSIONS * FPS / frames
    results.add(
        "1000 talking sessions, 640x360 at 25 fps, composition only",
        used,
        "CPU s per s",
        n=frames,
        goal="<= 1",
        of_that_python=python,
    )


def run(results: Results, quick: bool) -> None:
    harness.one_core()
    against_c(results, quick)
    faces(results, quick)


if __name__ == "__main__":
    harness.main(run, __doc__)
