from libc.stdint cimport int64_t

from native.performer cimport lw_performer


cdef extern from "lipwire/engine.h" nogil:
    ctypedef struct lw_engine:
        pass
    ctypedef struct lw_engine_counters:
        int64_t ticks
        int64_t late_ticks
        int64_t lost_ticks
        int64_t busy_ns
        int64_t worst_ns
        int64_t sessions
    int lw_engine_open(lw_engine **out, int max_sessions)
    int lw_engine_fd(const lw_engine *e)
    int lw_engine_attach(lw_engine *e, lw_performer *p)
    int lw_engine_detach(lw_engine *e, lw_performer *p)
    int lw_engine_ready(lw_engine *e, lw_performer **out, int cap)
    void lw_engine_stats(const lw_engine *e, lw_engine_counters *stats)
    void lw_engine_close(lw_engine **e)
