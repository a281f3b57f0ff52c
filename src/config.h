/* Every constant that a person might want to change, with its unit and its reason. */
#ifndef MESH_CONFIG_H
#define MESH_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Debug builds check what is cheap to check; expensive checks walk whole structures. */
#ifndef MESH_DEBUG
#define MESH_DEBUG 0
#endif
#ifndef MESH_EXPENSIVE_CHECKS
#define MESH_EXPENSIVE_CHECKS 0
#endif

_Static_assert(sizeof(void *) == 8, "libmesh needs a 64-bit address space");

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

enum {
  /* Smallest distance between two slots, bytes: the alignment malloc promises. */
  MIN_ALIGN = 16,
  MIN_ALIGN_SHIFT = 4,

  /* The class map has one byte for each 4 KiB, whatever the OS page is (a power of two of at least
   * that), so that the look-up in free shifts by a constant. */
  MAP_UNIT_SHIFT = 12,

  /* Largest object that comes from a span of a size class, bytes; above it an object is a page run. */
  SMALL_MAX = 32768,

  /* An object asked for with this alignment or more may be the target of a device (O_DIRECT wants
   * 512 or 4096), which no write barrier sees: such objects come from classes that never mesh. */
  PINNED_ALIGN = 512,
  PINNED_ALIGN_SHIFT = 9,

  /* Capacity of a thread's magazine, slots. Header and slots together are a power of two bytes. */
  MAGAZINE_MIN = 30,
  MAGAZINE_MAX = 510,

  /* Threads are dealt to so many shards, which keep what their threads freed apart from the others' as long as there is
   * enough of it: memory stays in the caches of the processor that used it. */
  THREAD_SHARDS = 4,

  CACHE_LINE = 64,
};

/* What one magazine of a class may hold, bytes: bounds a thread's cache at twice this for each class. */
#define MAGAZINE_BYTES (32 * KIB)

/* A refill takes no more slots and bytes than these, or this share of the class's live slots: a small heap stays so. */
#define REFILL_MIN 8
#define REFILL_MIN_BYTES (4 * KIB)
#define REFILL_SHARE 16

/* A thread's magazine grows beyond this only up to a share of the class's live bytes: threads that only
 * free must not hoard more than what is in use. */
#define MAGAZINE_FREE_BYTES (16 * KIB)
#define MAGAZINE_LIVE_SHARE 4

/* A thread looks for classes whose pages are kept by nothing but caches whenever so many more bytes are in use. */
#define PINNED_LOOK (128 * KIB)
/* ... that have at least this in spans, bytes, ... */
#define PINNED_MIN (64 * KIB)
/* ... and drains them for as long as this, ns: the rest at the next look. */
#define PINNED_NS 100000

/* The arena: reserve this much address space, or the largest half, quarter, ... that can be had. */
#define ARENA_RESERVE_MAX ((size_t)1 << 40) /* page numbers fit 28 bits: see MiniHeap */
#define ARENA_RESERVE_MIN (4 * MIB)

/* Address space is made usable in steps of at least this, and of 1/16 of what is in use. */
#define ARENA_COMMIT_STEP (2 * MIB)

/* Fresh pages of a grown heap are populated ahead, at most 1/32 of what is in use: a fault for each
 * page costs 1.6 times what populating sixteen at once does, but a small program must stay small. */
#define POPULATE_SHARE 32
#define POPULATE_MAX_PAGES 64
#define POPULATE_MIN_PAGES 4

/* Dirty page runs wait this long for reuse before they go back to the system. */
#define PURGE_DELAY_MS 100
/* ... and never exceed the larger of this and 1/PURGE_SHARE of what is in use: dirty pages are
 * used first, so they add to the peak only as far as they do not fit, and the delay bounds them soon. */
#define PURGE_KEEP_MIN (64 * MIB)
#define PURGE_SHARE 1
/* Purged between two looks at the clock, bytes: 0.2 ms if it is pages here and there. */
#define PURGE_PIECE (256 * KIB)

/* Full magazines in the depot: at most this share of the live heap over all classes, ... */
#define DEPOT_SHARE 16
/* ... but always as much as this, bytes. */
#define DEPOT_KEEP_MIN (256 * KIB)

/* A large block that grows is moved by moving its pages (mremap) from this size on; below it copying is cheaper than
 * splitting a kernel mapping, and pages that were moved serve no other block. */
#define MOVE_PAGES_MIN (2 * MIB)
/* ... while there are fewer such blocks than this: each costs two kernel mappings. */
#define MOVED_BLOCKS_MAX 1024

/* ---- Meshing ---- */

/* Least time between passes over a class, ms. */
#define MESH_PERIOD_MS 100
/* A span is left alone until nothing was drained into it for this long, ms: it may yet become empty. */
#define MESH_SETTLE_MS 100
/* Kernel mappings that meshing may use, in sixteenths of vm.max_map_count: the program needs some ... */
#define MESH_MAPS_SIXTEENTHS 14
/* ... in a heap of more pages than that one less for so many pages more, but at least one for so many in all. */
#define MESH_PAGES_PER_MAP_LESS 5
#define MESH_PAGES_PER_MAP 10
/* Pages that a mapping has to win at least: it costs the kernel some hundred bytes, and a fork some microseconds. */
#define MESH_MAP_PRICE 0.1
/* A pass over a class starts only if this many bytes, and this share of the class's pages, are more than
 * its live slots need. */
#define MESH_GAIN_MIN (256 * KIB)
#define MESH_GAIN_SHARE 16
/* Longest increment of work done in a call of the program's, ns; it may overrun by one batch. */
#define MESH_INCREMENT_NS 200000
/* An increment in a call that the program waits for is followed by this many times as long without. */
#define MESH_DUTY 8
/* Longest wait after passes that released little, ms. */
#define MESH_BACKOFF_MAX_MS 10000

#endif
