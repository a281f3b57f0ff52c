/* The arena: the one reserved range that every allocation lies in, its page states, and its page runs.
 *
 * Layout of the reservation: [class map | MiniHeap table | pages], each made usable in steps as the
 * frontier rises. The table grows down from the pages: what is usable of both is one mapping, which a fork copies
 * sooner than two. Page 0 is never used, so that 0 can mean "no page".
 *
 * Every page is in exactly one state: never used (at or above the frontier), free dirty, free clean, or
 * the head or a tail of a span. */
#ifndef MESH_ARENA_H
#define MESH_ARENA_H

#include "atomic.h"
#include "lock.h"
#include "miniheap.h"

typedef struct Arena {
  /* What every free reads. */
  uintptr_t base;                 /* (C) address of page 0 */
  _Atomic size_t limit;           /* (~, raised under A) bytes from base that are usable */
  _Atomic uint8_t *class_map;     /* (C) class of each MAP_UNIT of the arena; entries (A), read by all */
  MiniHeap *miniheaps;            /* (C) of page 0; those of the pages after it lie below */
  unsigned page_shift;            /* (C) */
  size_t page_size;               /* (C) bytes */

  _Alignas(CACHE_LINE) Lock lock; /* (A) */
  uint32_t frontier;              /* (A) first page never used */
  uint32_t committed;             /* (A) pages usable; frontier <= committed */
  _Atomic uint32_t pages_reserved; /* (~, lowered under A) */
  int process;                    /* (C, but in a child of fork) whose memory this is: vfork's child borrows it */
  _Atomic uint32_t used_pages;    /* (~, changed under A) in spans and large blocks */
  _Atomic uint32_t dirty_pages;   /* (~, changed under A) in free dirty runs */
  uint32_t clean_pages;           /* (A) in free clean runs */
  size_t large_pages;             /* (A) in large blocks */
  uint32_t large_count;           /* (A) large blocks */
  _Atomic uint32_t moved_blocks;  /* (~) large blocks whose pages were moved: two mappings each */
  /* (~) Called, if not NULL, after fresh memory was mapped, before anybody stores to it. */
  void (*_Atomic mapped_anew)(void *addr, size_t size);
} Arena;

extern Arena arena;

/* Reserves the range and computes the size classes. False when there is no address space at all. */
bool arena_init(void);
/* RLIMIT_AS was lowered, and what is reserved counts: gives back all that arena_init would not take under it, but what is
 * committed, and leaves room for another mapping of so many bytes as now are `mapped_again`. */
void arena_fit_limit(size_t mapped_again);
/* The same for RLIMIT_MEMLOCK, where all memory is to be locked. False, with nothing done, if the limit is lower than what
 * is mapped besides, less `given_up` bytes. */
bool arena_fit_lockable(size_t given_up);

static inline char *page_address(uint32_t page) {
  return (char *)(arena.base + ((size_t)page << arena.page_shift));
}
static inline uint32_t arena_pages_reserved(void) { return load_relaxed(&arena.pages_reserved); }
static inline MiniHeap *miniheap_of(uint32_t page) { return arena.miniheaps - page; }
static inline LargeBlock *large_block_of(uint32_t page) { return (LargeBlock *)miniheap_of(page); }
static inline FreeRun *free_run_of(uint32_t page) { return (FreeRun *)miniheap_of(page); }
/* `p` lies in the arena. */
static inline uint32_t page_of(const void *p) {
  return (uint32_t)(((uintptr_t)p - arena.base) >> arena.page_shift);
}
static inline bool arena_contains(const void *p) {
  return (uintptr_t)p - arena.base < load_relaxed(&arena.limit);
}
/* Class map value of an address in the arena. */
static inline unsigned class_at(const void *p) {
  return load_relaxed(&arena.class_map[((uintptr_t)p - arena.base) >> MAP_UNIT_SHIFT]);
}
static inline size_t pages_to_bytes(size_t pages) { return pages << arena.page_shift; }
static inline size_t bytes_to_pages(size_t bytes) {
  return (bytes + arena.page_size - 1) >> arena.page_shift;
}
/* Bytes in spans and large blocks. */
static inline size_t arena_used_bytes(void) { return pages_to_bytes(load_relaxed(&arena.used_pages)); }

/* What arena_alloc knows about the pages it found. */
typedef enum PageContent {
  PAGES_DIRTY, /* resident, any bytes */
  PAGES_ZERO,  /* not resident, read zero */
} PageContent;

/* A run of `pages` pages, the first at an address that is a multiple of `align` pages (a power of two),
 * marked in the class map: the first page as `head_class`, the others as `tail_class` (they differ for
 * large blocks only). The MiniHeaps of a small class are the caller's to fill, before anyone else can
 * see the pages. 0 when the system has no memory. Dirty runs are used first, then clean ones, then the
 * frontier rises. */
uint32_t arena_alloc(size_t pages, size_t align, unsigned head_class, unsigned tail_class,
                     PageContent *content);
/* One to `*count` adjacent spans of a small class; *count is how many it got. A dirty run for one is
 * taken before a clean run for all: resident pages are used before more become so. */
uint32_t arena_alloc_spans(unsigned size_class, size_t *count, PageContent *content);
/* The pages at `page` as a span of a small class, like arena_alloc; false if no free run long enough starts there. */
bool arena_alloc_at(uint32_t page, unsigned size_class);
void arena_free(uint32_t page, size_t pages);
/* Frees a span whose pages were just mapped anew. */
void arena_free_fresh(uint32_t page, size_t pages);
/* Frees `count` spans of `pages` pages each under one lock. */
void arena_free_spans(const uint32_t *page, size_t count, size_t pages);

/* Lengthens a large block in place; false if the pages behind it are in use. */
bool arena_extend(uint32_t page, size_t new_pages, PageContent *content);
/* Shortens a large block; the rest becomes free. */
void arena_shrink(uint32_t page, size_t new_pages);
/* Moves the pages of large block `from` to the start of the longer large block `to` by page table, and
 * frees `from`. False if the system cannot; then nothing changed. */
bool arena_move(uint32_t from, uint32_t to);
/* Frees a large block; false if another thread did. */
bool arena_free_large(uint32_t page);

/* Purges dirty runs freed at least `age_ms` ago, oldest first, and in any case until no more than
 * `keep` bytes are dirty. Returns bytes given back. */
size_t arena_purge(uint32_t now_ms, uint32_t age_ms, size_t keep);
/* As far as it takes no more than `most` bytes. */
size_t arena_purge_some(uint32_t now_ms, uint32_t age_ms, size_t keep, size_t most);
/* The bound on dirty bytes for the present size of the heap. */
size_t arena_dirty_limit(void);

/* Bytes of the class map and the MiniHeap table that are resident: the system is asked, or as many as are in use. */
size_t arena_metadata_bytes(bool ask);

/* Resident bytes of pages that are in no span, in large blocks and free: the system is asked. */
size_t arena_resident_outside_spans(void);

/* Expensive: walks all pages and checks that each is in one state and that all counts agree. */
void arena_assert_state(void);

#endif
