/* Initialisation, on the first call of any thread: may be the loader's, before every constructor. */
#ifndef MESH_INIT_H
#define MESH_INIT_H

#include "atomic.h"
#include "check.h"

extern _Atomic bool init_done;
COLD bool init_slow(void);

/* False if there is no address space for an arena; tried again at the next call. */
static inline bool init_once(void) {
  /* acquire: pairs with the release in init_slow, so that what it set up is seen */
  return LIKELY(load_acquire(&init_done)) || init_slow();
}

#endif
