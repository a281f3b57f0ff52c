/* What the environment sets. Read at the first allocation, and again by a constructor, because the
 * loader allocates before libc has an environment. A program that gained privileges has none. */
#ifndef MESH_OPTIONS_H
#define MESH_OPTIONS_H

#include "config.h"

typedef struct Options {
  bool stats;              /* MALLOCSTATS=1: a summary at exit */
  bool hardened;           /* MESH_HARDENED=1: no thread caches; every free is checked at once */
  uint64_t seed;           /* MESH_SEED: of every thread's placement; 0 (the default) takes a random one */
  uint32_t purge_delay_ms; /* MESH_PURGE_MS: how long dirty pages wait for reuse */
} Options;

extern Options options;

void options_read(void);

#endif
