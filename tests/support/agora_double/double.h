/* What every exported symbol of the double does before and after its behaviour. The generated sdk.c calls these. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Opens a record for this call on this thread. Nothing is written until double_end. */
void double_begin(const char *name);
void double_int(long long value);
void double_real(double value);
void double_str(const char *text);
void double_ptr(const void *pointer);
/* 1 and the value to return where a failure of this call has been injected. */
int double_injected(intptr_t *value);
/* Adds members of JSON to the record: what a behaviour wants tests to see, such as a hash. */
void double_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void double_end(intptr_t result);

/* Around a callback into the SDK: a call of the library within it is recorded with `within`, for it is forbidden. */
void double_enter_callback(const char *name);
void double_leave_callback(void);
/* Sets or lifts (count 0) a failure: the next `count` calls of `name` return `value`; -1 = for ever. */
void double_inject(const char *name, intptr_t value, int count);
/* Folder that the processes of a test share, or null. */
const char *double_folder(void);
long long double_now_ns(void);
uint32_t double_adler32(const void *data, size_t size);
