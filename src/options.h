/* What the environment sets. Read at the first allocation, and again by a constructor, because the
 * loader allocates before libc has an environment. A program that gained privileges has none. */
#ifndef MESH_OPTIONS_H
#define MESH_OPTIONS_H

#include "config.h"

typedef enum BarrierKind {
  BARRIER_AUTO,
  BARRIER_UFFD,      /* userfaultfd: the program's and the kernel's stores wait */
  BARRIER_UFFD_USER, /* userfaultfd without privilege: stores by the kernel fail with EFAULT */
  BARRIER_MPROTECT,  /* read-only pages and a SIGSEGV handler: stores by the kernel fail with EFAULT */
  BARRIER_OFF,       /* nothing to be had, or not wanted: no meshing */
} BarrierKind;

/* The name that MESH_BARRIER has for it. */
const char *barrier_name(BarrierKind kind);

typedef struct Options {
  bool stats;              /* MALLOCSTATS=1: a summary at exit */
  bool hardened;           /* MESH_HARDENED=1: no thread caches; every free is checked at once */
  uint64_t seed;           /* MESH_SEED: of every thread's placement; 0 (the default) takes a random one */
  uint32_t purge_delay_ms; /* MESH_PURGE_MS: how long dirty pages wait for reuse */
  BarrierKind barrier;     /* MESH_BARRIER: auto by default, off turns meshing off */
  uint32_t period_ms;      /* MESH_PERIOD_MS: least time between mesh passes; 0 turns meshing off */
  size_t max_maps;         /* MESH_MAX_MAPS: kernel mappings meshing may use; 0: see maps_limit in mesh_gain.c */
  bool background;         /* MESH_BACKGROUND_THREAD=1: a thread of our own does the meshing */
} Options;

extern Options options;

void options_read(void);

#endif
