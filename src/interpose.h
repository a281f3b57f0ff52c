/* Wrapping functions of libc: works by symbol order, in the shared library only. */
#ifndef MESH_INTERPOSE_H
#define MESH_INTERPOSE_H

#include <dlfcn.h>
#include <stddef.h>

#define EXPORT __attribute__((visibility("default")))

/* The next definition of a function after ours: libc's. Resolved once; racing threads find the same. */
static inline void *next_definition(void **slot, const char *name) {
  void *f = __atomic_load_n(slot, __ATOMIC_RELAXED);
  if (__builtin_expect(f == NULL, 0)) {
    f = dlsym(RTLD_NEXT, name);
    __atomic_store_n(slot, f, __ATOMIC_RELAXED);
  }
  return f;
}

/* REAL(read)(fd, buffer, size) calls libc's read. */
#define REAL(name)                                                 \
  (__extension__({                                                 \
    static void *slot_;                                            \
    (__typeof__(&name))next_definition(&slot_, #name);             \
  }))

#endif
