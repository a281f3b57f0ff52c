/* Magazine: an array of free slots of one size class that threads and the depot hand on whole
 * (Bonwick and Adams, "Magazines and Vmem", USENIX ATC 2001). Its slots still have their bits set. */
#ifndef MESH_MAGAZINE_H
#define MESH_MAGAZINE_H

#include "config.h"

typedef struct Magazine {
  struct Magazine *next; /* in the depot */
  uint32_t count;        /* slots held; stale while a ShuffleVector has it loaded */
  uint32_t capacity;     /* slots there is room for */
  void *slots[];
} Magazine;

/* Header and slots fill a block of a power of two bytes. */
_Static_assert((sizeof(Magazine) + MAGAZINE_MIN * sizeof(void *)) == 256, "smallest magazine");
_Static_assert((sizeof(Magazine) + MAGAZINE_MAX * sizeof(void *)) == 4096, "largest magazine");

static inline size_t magazine_next_capacity(size_t capacity) { return 2 * capacity + 2; }

static inline size_t magazine_bytes(size_t capacity) {
  return sizeof(Magazine) + (capacity < MAGAZINE_MIN ? MAGAZINE_MIN : capacity) * sizeof(void *);
}

/* NULL when the system has no memory. */
Magazine *magazine_new(uint32_t capacity);
void magazine_delete(Magazine *m);

#endif
