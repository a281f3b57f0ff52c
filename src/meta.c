#include "meta.h"

#include "bits.h"
#include "lock.h"
#include "os.h"

#define META_CHUNK (256 * KIB)
#define META_FIRST_CHUNK (64 * KIB)

typedef struct FreeBlock {
  struct FreeBlock *next;
} FreeBlock;

/* Free blocks of PURGED_SIZE whose page was given back; itself such a block that was not. */
enum { PURGED_SHIFT = 12, PURGED_SIZE = 1 << PURGED_SHIFT, PURGED_MAX = PURGED_SIZE / sizeof(void *) - 2 };
typedef struct PurgedBlocks {
  struct PurgedBlocks *next;
  size_t count;
  void *block[PURGED_MAX];
} PurgedBlocks;
_Static_assert(sizeof(PurgedBlocks) == PURGED_SIZE, "a block of its own kind");

/* So many free blocks of that size keep their page, however long nobody takes them. */
enum { UNPURGED_KEEP = 8 };

/* Small blocks lie together, so that what larger ones are aligned to does not part them. */
enum { SLAB_SIZE = PURGED_SIZE, SMALL_SIZE = SLAB_SIZE / 4 };

typedef struct Bump {
  char *at, *end;
} Bump;

/* Small programs need no other, and no mapping for it. */
static _Alignas(PURGED_SIZE) char first_chunk[META_FIRST_CHUNK];

static struct {
  Lock lock;
  Bump chunk;                               /* (lock) what is left of the newest chunk, ... */
  Bump slab;                                /* (lock) ... and of the newest of its blocks that is cut into small ones */
  FreeBlock *free_list[META_MAX_SHIFT + 1]; /* (lock) by binary logarithm of the size */
  _Atomic size_t unpurged;                  /* (lock), read by all as a hint: blocks in the list of PURGED_SHIFT ... */
  size_t unpurged_low;                      /* (lock) ... and fewest of them since the last meta_mark */
  _Atomic bool unpurgeable;                 /* (~) the system would not, the last time */
  PurgedBlocks *purged;                     /* (lock) */
  void *(*fallback)(size_t bytes);          /* (C) */
  _Atomic size_t resident;                  /* (~) bytes taken from the system and not given back */
} meta = {
    .lock = LOCK_INIT(RANK_META),
    .chunk = {first_chunk, first_chunk + META_FIRST_CHUNK},
    .resident = META_FIRST_CHUNK,
};

Lock *meta_lock(void) { return &meta.lock; }

static unsigned shift_for(size_t size) {
  return size <= (size_t)1 << META_MIN_SHIFT ? META_MIN_SHIFT : log2_ceil(size);
}

/* Blocks are aligned to their size up to PURGED_SIZE: whole pages to purge. NULL if there is no room. */
static void *bump(Bump *b, size_t size) {
  const size_t align = min_size(size, PURGED_SIZE), skip = (0 - (uintptr_t)b->at) & (align - 1);
  if (size + skip > (size_t)(b->end - b->at)) return NULL;
  void *block = b->at + skip;
  b->at += skip + size;
  return block;
}

/* What is left of the chunk before is lost. */
static void add_chunk(char *chunk, size_t size) {
  add_relaxed(&meta.resident, size);
  meta.chunk = (Bump){chunk, chunk + size};
}

static void *bump_chunk(size_t size) {
  void *block = bump(&meta.chunk, size);
  if (block != NULL) return block;
  char *chunk = os_map(META_CHUNK);
  if (chunk == NULL) return NULL;
  add_chunk(chunk, META_CHUNK);
  return bump(&meta.chunk, size);
}

static void *bump_locked(size_t size) {
  if (size > SMALL_SIZE) return bump_chunk(size);
  void *block = bump(&meta.slab, size);
  if (block != NULL) return block;
  char *slab = bump_chunk(SLAB_SIZE);
  if (slab == NULL) return NULL;
  meta.slab = (Bump){slab, slab + SLAB_SIZE};
  return bump(&meta.slab, size);
}

static void *take_free(unsigned shift) {
  FreeBlock *block = meta.free_list[shift];
  if (block == NULL) return NULL;
  meta.free_list[shift] = block->next;
  if (shift != PURGED_SHIFT) return block;
  const size_t left = load_relaxed(&meta.unpurged) - 1;
  store_relaxed(&meta.unpurged, left);
  meta.unpurged_low = min_size(meta.unpurged_low, left);
  return block;
}

static void *take_purged(void) {
  PurgedBlocks *p = meta.purged;
  if (p == NULL) return NULL;
  if (p->count == 0) {
    meta.purged = p->next;
    return p;
  }
  add_relaxed(&meta.resident, PURGED_SIZE);
  return p->block[--p->count];
}

void meta_fall_back_on(void *(*pages)(size_t bytes)) { meta.fallback = pages; }

static void *alloc_from_fallback(unsigned shift) {
  char *chunk = meta.fallback != NULL ? meta.fallback(META_FIRST_CHUNK) : NULL;
  if (chunk == NULL) return NULL;
  lock_acquire(&meta.lock);
  add_chunk(chunk, META_FIRST_CHUNK);
  void *block = bump_locked((size_t)1 << shift);
  lock_release(&meta.lock);
  return block;
}

void *meta_alloc(size_t size) {
  unsigned shift = shift_for(size);
  check_debug(shift <= META_MAX_SHIFT);
  lock_acquire(&meta.lock);
  void *block = take_free(shift);
  if (block == NULL && shift == PURGED_SHIFT) block = take_purged();
  if (block == NULL) block = bump_locked((size_t)1 << shift);
  lock_release(&meta.lock);
  return block != NULL ? block : alloc_from_fallback(shift);
}

static void put_free(void *block, unsigned shift) {
  FreeBlock *b = block;
  b->next = meta.free_list[shift];
  meta.free_list[shift] = b;
  if (shift == PURGED_SHIFT) store_relaxed(&meta.unpurged, load_relaxed(&meta.unpurged) + 1);
}

void meta_free(void *block, size_t size) {
  lock_acquire(&meta.lock);
  put_free(block, shift_for(size));
  lock_release(&meta.lock);
}

static void put_purged(void *block) {
  PurgedBlocks *p = meta.purged;
  if (p == NULL || p->count == PURGED_MAX) {
    PurgedBlocks *first = block;
    first->next = p;
    first->count = 0;
    meta.purged = first;
    return;
  }
  sub_relaxed(&meta.resident, PURGED_SIZE);
  p->block[p->count++] = block;
}

static void *take_unused(void) {
  void *block = NULL;
  lock_acquire(&meta.lock);
  if (meta.unpurged_low > UNPURGED_KEEP) {
    meta.unpurged_low--;
    block = take_free(PURGED_SHIFT);
  }
  lock_release(&meta.lock);
  return block;
}

void meta_mark(void) {
  lock_acquire(&meta.lock);
  meta.unpurged_low = load_relaxed(&meta.unpurged);
  lock_release(&meta.lock);
}

/* Larger pages hold several blocks. */
static bool purgeable(void) { return os_page_size() <= PURGED_SIZE; }

bool meta_purge_due(void) {
  return load_relaxed(&meta.unpurged) > UNPURGED_KEEP && purgeable() && !load_relaxed(&meta.unpurgeable);
}

/* Without the lock while the system works. */
static bool purge_block(void *block) {
  const bool purged = os_purge(block, PURGED_SIZE);
  store_relaxed(&meta.unpurgeable, !purged);
  lock_acquire(&meta.lock);
  if (purged)
    put_purged(block);
  else
    put_free(block, PURGED_SHIFT);
  lock_release(&meta.lock);
  return purged;
}

bool meta_purge_some(size_t most) {
  for (; most > 0 && purgeable(); most--) {
    void *block = take_unused();
    if (block == NULL || !purge_block(block)) break;
  }
  return most == 0;
}

void meta_purge_all(void) {
  meta_mark();
  meta_purge_some(SIZE_MAX);
  meta_mark();
}

size_t meta_resident(void) { return load_relaxed(&meta.resident); }
