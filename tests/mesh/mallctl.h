/* mesh_mallctl, if the program runs with libmesh. */
#ifndef TESTS_MESH_MALLCTL_H
#define TESTS_MESH_MALLCTL_H

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

/* 0, or the error; ENOSYS without libmesh. */
static inline int mallctl(const char *name, void *old, size_t *old_length) {
  int (*call)(const char *, void *, size_t *, void *, size_t);
  *(void **)&call = dlsym(RTLD_DEFAULT, "mesh_mallctl");
  return call != NULL ? call(name, old, old_length, NULL, 0) : ENOSYS;
}

/* A figure; 0 without libmesh. */
static inline size_t mallctl_figure(const char *name) {
  size_t value = 0, length = sizeof value;
  return mallctl(name, &value, &length) == 0 ? value : 0;
}

/* Pages given back. */
static inline size_t compact(void) { return mallctl_figure("mesh.compact"); }

#endif
