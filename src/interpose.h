/* Wrapping functions of libc: works by symbol order, in the shared library only. */
#ifndef MESH_INTERPOSE_H
#define MESH_INTERPOSE_H

#include <stddef.h>

#include "interpose_names.h"

#define EXPORT __attribute__((visibility("default")))

/* Another name of libc's for a function that is wrapped. */
#if __has_attribute(copy)
#define ALSO(name, of) EXPORT extern __typeof__(of) name __attribute__((alias(#of), copy(of)))
#else
#define ALSO(name, of) EXPORT extern __typeof__(of) name __attribute__((alias(#of)))
#endif

#define REAL_NUMBER(name) REAL_##name,
enum { REAL_NAMES(REAL_NUMBER) REAL_COUNT };

/* The next definition after ours: libc's, or that of another library that wraps it too. Looked up once. */
void *real_function(unsigned function);
/* Looks up all that were not yet. Before there is a second thread: it might have to wait for the lock of the dynamic
 * linker, which the first may hold while it waits for the second. */
void real_find_all(void);

/* REAL(read)(fd, buffer, size) calls libc's read. */
#define REAL(name) ((__typeof__(&name))real_function(REAL_##name))

#endif
