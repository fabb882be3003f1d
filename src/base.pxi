# Constants, errors, kernel levels: lipwire/base.h.

RATE = LW_RATE
BLOCK = LW_BLOCK
PREBUFFER = LW_SPEECH_PREBUFFER / <double>LW_RATE
DRY_TIMEOUT = LW_SPEECH_DRY_TIMEOUT / <double>LW_RATE
CAPACITY = LW_SPEECH_CAPACITY / <double>LW_RATE

_ERRORS = {
    LW_EINVAL: InvalidArgument,
    LW_ENOMEM: OutOfMemory,
    LW_ENOSPC: BufferFull,
    LW_EDATA: BadData,
    LW_ESTATE: BadState,
}
# A chunk of at least this many samples is worth letting other Python threads run.
cdef size_t LONG_CHUNK = 4096

# What each LIPWIRE_CPU allows.
_LEVELS = {
    "c": 0,
    "avx2": LW_CPU_AVX2,
    "avx512": LW_CPU_AVX2 | LW_CPU_AVX512,
    "neon": LW_CPU_NEON,
}


def cpu_levels():
    """The kernel levels that this processor has, slowest first: of "c", "avx2", "avx512", "neon"."""
    cdef uint32_t have = lw_cpu_detect()
    return tuple(name for name, mask in _LEVELS.items() if mask & have == mask)


def cpu_level():
    """The kernel level in use."""
    return lw_cpu_level(lw_cpu_used()).decode()


def _use_cpu(level):
    """Chooses the kernels of the whole process: one of `cpu_levels()`, or None for the best. For the start of a
    process, before any object is made.

    Raises:
        InvalidArgument: unknown, or this processor does not have it.
    """
    if level is not None and level not in cpu_levels():
        raise InvalidArgument(f"LIPWIRE_CPU={level}: this processor has {', '.join(cpu_levels())}")
    lw_cpu_use(lw_cpu_detect() if level is None else _LEVELS[level])


_use_cpu(os.environ.get("LIPWIRE_CPU") or None)


def core_version():
    """The version the core was built as."""
    return lw_version().decode()


cdef int64_t check(int64_t rc, str what="") except? -1:
    if rc < 0:
        text = lw_strerror(<int>rc).decode()
        raise _ERRORS.get(rc, LipwireError)(f"{what}: {text}" if what else text)
    return rc
