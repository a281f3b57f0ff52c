#include "meta.h"

#include "bits.h"
#include "lock.h"
#include "os.h"

#define META_CHUNK (256 * KIB)

typedef struct FreeBlock {
  struct FreeBlock *next;
} FreeBlock;

static struct {
  Lock lock;
  char *bump, *end;                        /* (lock) what is left of the newest chunk */
  FreeBlock *free_list[META_MAX_SHIFT + 1]; /* (lock) by binary logarithm of the size */
  _Atomic size_t mapped;                   /* (~) bytes */
} meta = {.lock = LOCK_INIT(RANK_META)};

Lock *meta_lock(void) { return &meta.lock; }

static unsigned shift_for(size_t size) {
  return size <= (size_t)1 << META_MIN_SHIFT ? META_MIN_SHIFT : log2_ceil(size);
}

static void *bump_locked(size_t size) {
  /* Blocks of a cache line and more are aligned to one: no false sharing between threads. */
  if ((size_t)(meta.end - meta.bump) < size) {
    char *chunk = os_map(META_CHUNK);
    if (chunk == NULL) return NULL;
    add_relaxed(&meta.mapped, META_CHUNK);
    meta.bump = chunk;
    meta.end = chunk + META_CHUNK;
  }
  void *block = meta.bump;
  meta.bump += size;
  return block;
}

void *meta_alloc(size_t size) {
  unsigned shift = shift_for(size);
  check_debug(shift <= META_MAX_SHIFT);
  lock_acquire(&meta.lock);
  void *block = meta.free_list[shift];
  if (block != NULL)
    meta.free_list[shift] = meta.free_list[shift]->next;
  else
    block = bump_locked((size_t)1 << shift);
  lock_release(&meta.lock);
  return block;
}

void meta_free(void *block, size_t size) {
  unsigned shift = shift_for(size);
  FreeBlock *b = block;
  lock_acquire(&meta.lock);
  b->next = meta.free_list[shift];
  meta.free_list[shift] = b;
  lock_release(&meta.lock);
}

size_t meta_mapped(void) { return load_relaxed(&meta.mapped); }
