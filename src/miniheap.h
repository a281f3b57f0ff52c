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
  uint32_t next, prev;  /* (S) page numbers in the list of its bin; 0 ends it */
  uint32_t frame;       /* (S and A) page whose offset in the memfd the span is mapped at; 0 if anonymous;
                         * with FRAME_STALE, mapped privately onto a file from before a fork, or a copy */
  uint8_t offset;       /* (C while a span) pages from the head; 0 in the head itself */
  uint8_t trimmed;      /* (S) pages without a live slot that were purged since the last refill */
  uint8_t size_class;   /* (C while a span) */
  uint8_t bin : 4;      /* (S) list it is in, or BIN_NONE, ... */
  uint8_t shard : 4;    /* (S) ... and whose */
  uint16_t live;        /* (S) bits set */
  uint16_t slots;       /* (C while a span) */
  uint32_t stamp;       /* (S) os_now_ms of the last drain into it; 0 if none since it was trimmed */
  uint32_t group_next;  /* (S) next member of its mesh group, a ring; its own page if in none */
  uint32_t leader;      /* (S) page of its mesh group's leader; its own page if in no group */
  uint64_t bitmap[];    /* (S) one bit a slot, set from before the slot can reach a program until drained */
} MiniHeap;
_Static_assert(sizeof(MiniHeap) == 32, "header and the bitmap of a 4 KiB page fill a cache line");

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
  uint32_t next, prev;             /* (A) page numbers in its bin */
  uint32_t pages;                  /* (A) in the first and in the last page */
  uint8_t state;                   /* (A) RunState, in the first and in the last page */
  uint32_t stamp;                  /* (A) os_now_ms when freed */
  uint32_t older, newer;           /* (A) page numbers among the dirty runs by age */
} FreeRun;
_Static_assert(sizeof(FreeRun) <= sizeof(MiniHeap), "a free run fits the entry of a page");

/* Bytes of a table entry: header and one bit for each smallest slot of a page, up to a power of two. */
static inline unsigned miniheap_shift(size_t page_size) {
  return log2_ceil(sizeof(MiniHeap) + page_size / MIN_ALIGN / 8);
}

/* A fresh head: all slots free. */
void miniheap_init(MiniHeap *mh, uint32_t page, unsigned size_class);

/* Sets the bits of up to `room` free slots, chosen at random if not all fit, and stores their addresses
 * at `out`. Returns how many. `base` is the address of slot 0. Popped from the end, they come in the order
 * of their addresses from a random one on, and round. That every slot is equally likely in every place, by
 * a draw of each span's own, is what meshing needs: the same pattern of deaths leaves different slots live
 * in each span. Neighbours in time stay neighbours in memory, which caches and prefetchers need. */
size_t miniheap_take(MiniHeap *mh, char *base, void **out, size_t room, Rng *rng);

/* The list a head belongs in by its occupancy; BIN_NONE if full. */
static inline uint8_t miniheap_bin(const MiniHeap *mh) {
  return mh->live == mh->slots ? BIN_NONE : (uint8_t)(mh->live * size_classes[mh->size_class].bin_factor >> BIN_SHIFT);
}

/* Debug builds: bits, counts and class agree. */
void miniheap_assert_state(const MiniHeap *mh);

#endif
