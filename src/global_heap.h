/* GlobalHeap: for each size class the MiniHeaps by occupancy, and the depot of magazines.
 * It refills and drains the ShuffleVectors of threads; what it needs more it takes from the arena. */
#ifndef MESH_GLOBAL_HEAP_H
#define MESH_GLOBAL_HEAP_H

#include "class_heap.h"
#include "depot.h"

/* Takes at least one and up to `room` free slots of class `c`, stopping at the first span after which
 * there are `want`, or as many as suit what is live of the class (REFILL_SHARE), and stores them at `out`,
 * those of a span in random order. 0 when the system has no memory. */
size_t global_heap_refill(unsigned c, void **out, size_t want, size_t room, Rng *rng);

/* Makes the free pages at `page` a span of class c with no live slot, in no list; false if they are not free. (S) */
bool global_heap_make_span(uint32_t page, unsigned c);

/* Gives slots of class `c` back to their spans. Ends the program if one is not the start of a live
 * slot: a double free, or a free of a pointer that malloc did not return. */
void global_heap_drain(unsigned c, void *const *slots, size_t count);

/* At least half of the live slots of class `c` are cached, `cached` being those that the caller knows of, in spans that
 * hold half as much again: caches are what keeps pages from being free. */
bool global_heap_is_pinned(unsigned c, size_t cached);

/* Hands a full magazine in; returns an empty one, or NULL when the system has no memory. Either way the
 * slots are no longer the caller's. The magazine returned may be the one handed in. */
Magazine *depot_put_full(unsigned c, Magazine *full);

/* Housekeeping, called now and then from slow paths: purges what is due, drains what the depot has not moved for a
 * while. Works for about 0.2 ms; true if there is more to do at once. `now_ms` is os_now_ms(). */
bool global_heap_tick(uint64_t now_ms);
/* Drains up to `count` magazines of the depot of class c; false if there were none. */
bool depot_drain_some(unsigned c, uint32_t count);
/* Drains the depots of all classes. */
void depot_drain_all(void);
/* Gives the fresh spans of all classes back. */
void global_heap_free_fresh(void);
/* Gives back what drains have left for a tick to release. */
void global_heap_release_all(void);

/* Head of the span that `p` in a small class lies in. */
static inline uint32_t span_head(const void *p) {
  uint32_t page = page_of(p);
  return page - miniheap_of(page)->offset;
}

#endif
