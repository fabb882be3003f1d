"""draw3d.js in Chromium with three.js: what is seen of the head at poses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwire.motion.glb import arkit_name, euler, multiply, write_glb
from lipwire.motion.gltf import LOOK_ASIDE
from lipwire.motion.head import head_glb
from support.browsing import browser
from support.faces import SPELLINGS, face_track
from support.paths import ROOT
from support.three import WEBGL, site

DRIVE = (ROOT / "tests" / "support" / "draw3d.js").read_text()
HARMLESS = ("favicon", "404", "GPU stall due to ReadPixels")
"""In what Chromium logs here: an icon that the page has none of; that a test reads pixels."""

pytestmark = pytest.mark.xdist_group("draw3d")


@asynccontextmanager
async def shown(chromium: str, tmp_path: Path) -> AsyncIterator[Any]:
    """With the head on its canvas."""
    talk = face_track(3, jawOpen=[0, 1, 0.5], headYaw=[0, 0.4, 0.2])
    with site(tmp_path, {"head.glb": head_glb(), "talk.glb": write_glb(talk)}) as address:
        async with browser(chromium, *WEBGL) as launched:
            page: Any = await launched.new_page()
            said: list[str] = []
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("console", lambda line: said.append(line.text) if line.type in ("error", "warning") else None)
            await page.goto(address)
            await page.evaluate(DRIVE, {"url": "/head.glb", "background": "#dfe6ea", "shadows": False})
            yield page
            assert [line for line in said if not any(known in line for known in HARMLESS)] == []


def both(**weights: float) -> dict[str, float]:
    """ARKit's names; those that end in an underscore mean both sides."""
    sides = {name: [f"{name[:-1]}Left", f"{name[:-1]}Right"] if name.endswith("_") else [name] for name in weights}
    return {each: weights[name] for name, names in sides.items() for each in names}


async def what_is_seen(page: Any) -> None:
    """Eyes are seen until the lids shut; nothing shows between lips that are together, whatever the jaw does; a mouth
    that opens is dark, with teeth."""

    async def look(**weights: float) -> Any:
        return await page.evaluate("(weights) => t.look(weights)", both(**weights))

    rest = await look()
    assert rest["left"] > 0.15 and rest["right"] > 0.15 and rest["dark"] == rest["white"] == 0
    for shut in ({"jawOpen": 0.8, "mouthClose": 0.8}, {"mouthSmile_": 1}, {"mouthPress_": 1}):
        seen = await look(**shut)
        assert seen["dark"] == seen["white"] == 0, shut
    opened = await look(jawOpen=0.8, eyeBlinkLeft=1)
    assert opened["dark"] > 0.015 and opened["white"] > 0.01
    assert opened["left"] == 0 and opened["right"] == pytest.approx(rest["right"], abs=0.01), "the person's left"
    grin = await look(jawOpen=0.12, mouthUpperUp_=0.5, mouthLowerDown_=0.5, eyeBlink_=1)
    assert grin["white"] > 0.05 and grin["left"] == grin["right"] == 0


async def names_and_turns(page: Any) -> None:
    """However a program spells a name it is the same target; the head turns as the set `head` says, and rests."""
    assert await page.evaluate("() => t.head.missing") == []
    for name, spelt in SPELLINGS:
        one, other = await page.evaluate("(names) => names.map(t.arkitName)", [name, spelt])
        assert one == other == arkit_name(name) == arkit_name(spelt)
    angles = {"headPitch": 0.2, "headYaw": -0.4, "headRoll": 0.1, "leftEyeRoll": 0.3, "rightEyeRoll": 0}
    turned = "(angles) => { t.draw({}, angles); return ['head', 'leftEye', 'rightEye', 'neck'].map(t.turned); }"
    head, left, right, neck = await page.evaluate(turned, angles)
    expected = euler(*(np.array([angles[name]]) for name in ("headPitch", "headYaw", "headRoll")))[0]
    assert head == pytest.approx(expected, abs=1e-6) and right == pytest.approx(head) and neck == [0, 0, 0, 1]
    assert left == pytest.approx(multiply(expected, euler(*np.array([[0.0], [0.0], [0.3]]))[0]), abs=1e-6)
    await page.evaluate("() => t.head.draw(null)")
    assert await page.evaluate("() => t.turned('leftEye')") == pytest.approx([0, 0, 0, 1])


SOMEBODYS = """async () => {
  const { THREE } = t, { Draw3D } = await import('/client/draw3d.js');
  const made = (names) => {
    const shape = new THREE.BoxGeometry(), targets = names.map(() => shape.attributes.position.clone());
    shape.morphAttributes.position = targets;
    const mesh = new THREE.Mesh(shape, new THREE.MeshBasicMaterial());
    mesh.morphTargetDictionary = Object.fromEntries(names.map((name, at) => [name, at]));
    mesh.morphTargetInfluences = names.map(() => 0);
    return mesh;
  };
  const model = new THREE.Group(), armature = new THREE.Bone(), head = new THREE.Bone(), eye = new THREE.Bone();
  const face = made(['Smile', 'blendShape1.JawOpen', 'eyeBlink_L']), scene = new THREE.Scene();
  armature.rotation.x = -Math.PI / 2;                      // as programs with Z up have it
  [armature.name, head.name, eye.name, face.name] = ['Armature', 'mixamorigHead', 'LeftEye', 'Wolf3D_Head'];
  head.rotation.z = 0.5;
  model.add(armature.add(head.add(eye)), face);
  const theirs = await new Draw3D(scene, { THREE, model }).ready;
  const before = head.getWorldQuaternion(new THREE.Quaternion());
  theirs.draw({ sets: { arkit: [0.5, 0.25, 1], head: [0, 0.3, 0] },
    names: { arkit: ['jawOpen', 'eyeBlinkLeft', 'eyeLookOutLeft'], head: ['headPitch', 'headYaw', 'headRoll'] } });
  const turn = head.getWorldQuaternion(new THREE.Quaternion()).multiply(before.invert()).toArray();
  const looks = eye.quaternion.angleTo(new THREE.Quaternion());
  const none = new Draw3D(scene, { THREE, model: made(['Smile']) });
  const refused = await none.ready.then(() => '', (error) => error.message);
  const added = scene.children.length, missing = theirs.missing.length;
  theirs.close();
  return { turn, looks, influences: face.morphTargetInfluences, missing, refused, added, left: scene.children.length };
}"""


async def somebody_elses_head(page: Any) -> None:
    """In a scene of the page's own: other spellings, bones that lie otherwise; one without such targets is refused."""
    found = await page.evaluate(SOMEBODYS)
    assert found["influences"] == pytest.approx([0, 0.5, 0.25])
    assert found["turn"] == pytest.approx(euler(*np.array([[0.0], [0.3], [0.0]]))[0], abs=1e-6), (
        "about the model's axes"
    )
    assert found["looks"] == pytest.approx(LOOK_ASIDE) and found["missing"] == 50
    assert "has no morph target of ARKit's names" in found["refused"] and "Smile" in found["refused"]
    assert (found["added"], found["left"]) == (1, 0)


PLAYED = """async () => {
  const { THREE } = t, { GLTFLoader } = await import('three/addons/loaders/GLTFLoader.js');
  const { scene, animations } = await new GLTFLoader().loadAsync('/talk.glb');
  const mixer = new THREE.AnimationMixer(scene), clip = THREE.AnimationClip.findByName(animations, 'Lipwire');
  const action = mixer.clipAction(clip).setLoop(THREE.LoopOnce);
  action.clampWhenFinished = true;
  action.play();
  const face = scene.getObjectByName('face'), teeth = scene.getObjectByName('teethLower');
  return [0, 0.04, 0.06, 0.08].map((at) => {
    mixer.setTime(at);
    const of = (mesh) => mesh.morphTargetInfluences[mesh.morphTargetDictionary.jawOpen];
    return [of(face), of(teeth), ...scene.getObjectByName('head').quaternion.toArray()];
  }).concat([[clip.duration]]);
}"""


async def animation(page: Any) -> None:
    """What `write_glb` writes plays in three.js: weights on every mesh that has them, the head's turns, in seconds."""
    *frames, (seconds,) = await page.evaluate(PLAYED)
    jaw = [0, 1, 0.75, 0.5]
    assert [frame[0] for frame in frames] == pytest.approx(jaw, abs=1e-6)
    assert [frame[1] for frame in frames] == pytest.approx(jaw, abs=1e-6)
    yaw = np.array([0, 0.4, 0.3, 0.2])
    assert np.array([frame[2:] for frame in frames]) == pytest.approx(euler(0 * yaw, yaw, 0 * yaw), abs=1e-4)
    assert seconds == pytest.approx(0.08)


async def test_a_head_in_chromium(chromium: str, tmp_path: Path) -> None:
    async with shown(chromium, tmp_path) as page:
        await what_is_seen(page)
        await names_and_turns(page)
        await somebody_elses_head(page)
        await animation(page)
        await page.evaluate("() => { t.head.close(); t.head.draw(null); t.head.close(); }")
