# cython: language_level=3, embedsignature=True
"""The compiled core: thin classes over csrc/include/lipwire. Public names are re-exported by `lipwire`."""

cimport cython
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_FULL_RO, PyBUF_WRITABLE
from cpython.buffer cimport PyBuffer_FillInfo, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.long cimport PyLong_Check
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.unicode cimport PyUnicode_CheckExact, PyUnicode_DecodeASCII
from libc.math cimport floor, isfinite
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memmove, memset
from posix.dlfcn cimport RTLD_LOCAL, RTLD_NOW, dlclose, dlopen, dlsym

from native.base cimport *
from native.resample cimport *
from native.g711 cimport *
from native.g722 cimport *
from native.opus cimport *
from native.jitter cimport *
from native.ingest cimport *
from native.viseme cimport *
from native.speech cimport *
from native.motion cimport *
from native.face cimport *
from native.motion_stream cimport *
from native.picture cimport *
from native.avatar cimport *
from native.stitch cimport *
from native.performer cimport *
from native.share cimport *
from native.engine cimport *
from native.net cimport *

import collections
import operator
import os

import numpy as np

from lipwire.errors import BadData, BadState, BufferFull, InvalidArgument, LipwireError, OutOfMemory

# A file for each noun, in the order in which speech passes through them.
include "base.pxi"
include "buffers.pxi"
include "resample.pxi"
include "g711.pxi"
include "g722.pxi"
include "opus.pxi"
include "opus_coding.pxi"
include "jitter.pxi"
include "ingest.pxi"
include "viseme.pxi"
include "motion.pxi"
include "face.pxi"
include "picture.pxi"
include "frame.pxi"
include "avatar.pxi"
include "stitch.pxi"
include "performer.pxi"
include "motion_stream.pxi"
include "share.pxi"
include "engine.pxi"
include "net.pxi"
