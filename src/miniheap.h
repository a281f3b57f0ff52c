/* MiniHeap: the metadata of a page, in a flat table indexed by page number. What an entry means depends
 * on the page's state:
 *
 *     never used --arena_alloc--> span head / span tail --arena_free--> free dirty --purge--> free clean
 *                                        ^                                 |                     |
 *                                        +------------- arena_alloc -------+---------------------+
 *
 *   span head   the first page of a span: everything below `MiniHeap`.
 *   span tail   its other pages: only `offset` is set, so that a slot finds its head.
 *               (Large blocks leave the entries of their tails alone; the class map tells them.)
 *   large head  the first page of a large block: `LargeBlock`.
 *   free        first and last page of a free run: `FreeRun`; the pages between are stale.
 *
 * A head of a small class lives, under its class lock (S):
 *
 *     fresh --refill--> full (in no list) --drain--> partial (in the list of its occupancy) --drain--> empty
 *                         ^                             |                                                |
 *                         +----------- refill ----------+                             back to the arena  v
 */
#ifndef MESH_MINIHEAP_H
#define MESH_MINIHEAP_H

#include "rng.h"
#include "size_class.h"

enum {
  BIN_FRESH = OCCUPANCY_BINS, /* made ahead of need, no slot taken yet */
  SPAN_BINS,
  BIN_NONE = 15, /* in no list */
};

typedef struct MiniHeap {
  union {
    uint64_t word;   /* (S) one bit a slot, set from before the slot can reach a program until drained: here ... */
    uint64_t *words; /* (S) ... or, where there are more than 64, in a block of the metadata allocator */
  };
  uint64_t next : 28;       /* (S) page numbers in the list of its bin; 0 ends it */
  uint64_t prev : 28;       /* (S) */
  uint64_t bin : 4;         /* (S) list it is in, or BIN_NONE, ... */
  uint64_t trimmed : 4;     /* (S) pages without a live slot that were purged since the last refill */
  uint64_t leader : 28;     /* (S) page of its mesh group's leader; its own page if in no group */
  uint64_t group_next : 28; /* (S) next member of its mesh group, a ring; its own page if in none */
  uint64_t size_class : 6;  /* (S) */
  uint64_t shard : 2;       /* (S) whose list it is in */
  uint32_t frame;           /* (S and A) page whose offset in the memfd the span is mapped at; 0 if anonymous;
                             * with FRAME_STALE, mapped privately onto a file from before a fork, or a copy */
  uint8_t offset;           /* (C while a span) pages from the head; 0 in the head itself */
  uint8_t stamp;            /* (S) miniheap_stamp of the last drain into it; 0 if none since it was trimmed */
  uint16_t live;            /* (S) bits set */
} MiniHeap;
_Static_assert(sizeof(MiniHeap) == 32, "two entries of the table to a cache line");
_Static_assert(CLASS_END <= 1 << 6 && THREAD_SHARDS <= 1 << 2 && SPAN_BINS < BIN_NONE, "they fit their fields");

/* A stale frame is no one's to share, punch or make again. Its page number matters only beside its neighbours':
 * where it goes on from theirs, both are one mapping. So that those of the files of successive forks never
 * seem to, each file's are moved by another multiple of a large odd number (modulo 2^31: no two files of
 * 2^31 forks have the same). */
#define FRAME_STALE ((uint32_t)1 << 31)
#define FRAMES_APART ((uint32_t)0x1E3779B1)
static inline bool frame_is_current(uint32_t frame) { return frame != 0 && !(frame & FRAME_STALE); }

/* The head of a large block. */
typedef struct LargeBlock {
  uint32_t pages; /* (A) */
  bool moved;     /* (A) its pages came from elsewhere by page table: a kernel mapping of its own */
  bool lost;      /* (A) its pages went elsewhere and somebody else's mapping took the hole; never freed */
} LargeBlock;

typedef struct FreeRun {
  uint32_t next, prev;             /* (A) page numbers in its bin; of one that is purged `next` is by whom */
  uint32_t pages;                  /* (A) in the first and in the last page */
  uint8_t state;                   /* (A) RunState, in the first and in the last page */
  uint32_t stamp;                  /* (A) os_now_ms when freed */
  uint32_t older, newer;           /* (A) page numbers among the dirty runs by age */
} FreeRun;
_Static_assert(sizeof(FreeRun) <= sizeof(MiniHeap), "a free run fits the entry of a page");

/* A fresh head: all slots free. False when the system has no memory for the bitmap. */
bool miniheap_init(MiniHeap *mh, uint32_t page, unsigned size_class);
/* Gives back what miniheap_init took. */
void miniheap_end(MiniHeap *mh);

static inline const SizeClass *miniheap_class(const MiniHeap *mh) { return &size_classes[mh->size_class]; }

/* The bitmap of a head of class `sc`. */
static inline uint64_t *miniheap_bitmap(MiniHeap *mh, const SizeClass *sc) {
  return sc->slots <= 64 ? &mh->word : mh->words;
}

/* Times as a MiniHeap has them: in units of 32 ms, modulo 8 s. */
enum { STAMP_SHIFT = 5, STAMP_SETTLED = 255 /* longer ago than that may tell */ };
static inline uint8_t miniheap_stamp(uint32_t now_ms) {
  const uint8_t stamp = (uint8_t)(now_ms >> STAMP_SHIFT);
  return stamp == 0 ? 1 : stamp == STAMP_SETTLED ? STAMP_SETTLED - 1 : stamp;
}
/* About MESH_SETTLE_MS have gone by since the last drain: it is settled until the next, however often it is asked. */
static inline bool miniheap_settle(MiniHeap *mh, uint32_t now_ms) {
  if (mh->stamp == 0 || mh->stamp == STAMP_SETTLED) return true;
  if ((uint8_t)(miniheap_stamp(now_ms) - mh->stamp) <= MESH_SETTLE_MS >> STAMP_SHIFT) return false;
  mh->stamp = STAMP_SETTLED;
  return true;
}

/* Sets the bits of up to `room` free slots, chosen at random if not all fit, and stores their addresses
 * at `out`. Returns how many. `base` is the address of slot 0. Popped from the end, they come in the order
 * of their addresses from a random one on, and round. That every slot is equally likely in every place, by
 * a draw of each span's own, is what meshing needs: the same pattern of deaths leaves different slots live
 * in each span. Neighbours in time stay neighbours in memory, which caches and prefetchers need. */
size_t miniheap_take(MiniHeap *mh, char *base, void **out, size_t room, Rng *rng);

/* The list a head belongs in by its occupancy; BIN_NONE if full. */
static inline uint8_t miniheap_bin(const MiniHeap *mh) {
  const SizeClass *sc = miniheap_class(mh);
  return mh->live == sc->slots ? BIN_NONE : (uint8_t)(mh->live * sc->bin_factor >> BIN_SHIFT);
}

/* Debug builds: bits, counts and class agree. */
void miniheap_assert_state(MiniHeap *mh);

#endif
