#include "class_heap.h"

ClassHeap class_heaps[CLASS_END];
_Atomic size_t mesh_pages_released;
_Atomic uint64_t classes_unreleased;
_Thread_local unsigned thread_shard;

static Lock the_mesh_lock = LOCK_INIT(RANK_MESH);

Lock *mesh_lock(void) { return &the_mesh_lock; }

void class_heaps_init(void) {
  if (!MESH_DEBUG) return;
  for (unsigned c = 0; c < CLASS_END; c++) class_heaps[c].lock.rank = RANK_CLASS + c;
}

void class_heap_misuse(ClassHeap *h, const char *what, const void *address) {
  lock_release(&h->lock);
  mesh_fatal(what, address);
}

/* In `occupied`: a bit for each bin, the bins of a shard in SHARD_BITS. */
#define SHARD_BITS 16
#define SHARD_MASK 0xFFFF
#define EACH_SHARD UINT64_C(0x0001000100010001)
_Static_assert(THREAD_SHARDS * SHARD_BITS == 64 && SPAN_BINS <= SHARD_BITS, "a bit for each bin");

static uint64_t occupied_bit(const MiniHeap *mh) { return (uint64_t)1 << (SHARD_BITS * mh->shard + mh->bin); }

void bin_insert(ClassHeap *h, uint32_t page, MiniHeap *mh, uint8_t bin) {
  uint32_t *first = &h->bin[thread_shard][bin];
  mh->bin = bin;
  mh->shard = thread_shard;
  mh->prev = 0;
  mh->next = *first;
  if (mh->next != 0) miniheap_of(mh->next)->prev = page;
  *first = page;
  h->occupied |= occupied_bit(mh);
}

void bin_remove(ClassHeap *h, MiniHeap *mh) {
  if (mh->bin == BIN_NONE) return;
  if (mh->next != 0) miniheap_of(mh->next)->prev = mh->prev;
  if (mh->prev != 0)
    miniheap_of(mh->prev)->next = mh->next;
  else if ((h->bin[mh->shard][mh->bin] = mh->next) == 0)
    h->occupied &= ~occupied_bit(mh);
  mh->bin = BIN_NONE;
}

void rebin(ClassHeap *h, uint32_t page, MiniHeap *mh) {
  uint8_t bin = miniheap_bin(mh);
  if (bin == mh->bin) return;
  bin_remove(h, mh);
  if (bin != BIN_NONE) bin_insert(h, page, mh, bin);
}

/* `bins` of all shards, that of the calling thread in the lowest bits. */
static uint64_t occupied_of(const ClassHeap *h, uint64_t bins) {
  const unsigned shift = SHARD_BITS * thread_shard;
  uint64_t occupied = h->occupied >> shift | h->occupied << ((64 - shift) & 63);
  return occupied & bins;
}

static uint32_t first_of(const ClassHeap *h, unsigned shards_on, unsigned bin) {
  return h->bin[(thread_shard + shards_on) % THREAD_SHARDS][bin];
}

uint32_t fresh_span(const ClassHeap *h) {
  uint64_t occupied = occupied_of(h, EACH_SHARD << BIN_FRESH);
  return occupied == 0 ? 0 : first_of(h, lowest_bit(occupied) / SHARD_BITS, BIN_FRESH);
}

/* Slots beside those of other threads may share cache lines with them: while a class has fewer spans than this, a shard
 * rather gets one of its own. */
enum { SPANS_APART = 2 * THREAD_SHARDS };

static bool keeps_apart(const ClassHeap *h) {
  const uint32_t size = size_classes[h - class_heaps].size;
  return h->spans < SPANS_APART && size < 4 * CACHE_LINE && size % CACHE_LINE != 0;
}

uint32_t fullest_partial(const ClassHeap *h) {
  const uint64_t partial = ((uint64_t)1 << OCCUPANCY_BINS) - 1;
  uint64_t occupied = occupied_of(h, keeps_apart(h) ? partial : EACH_SHARD * partial);
  if (occupied == 0) return fresh_span(h);
  unsigned shards_on = lowest_bit(occupied) / SHARD_BITS;
  return first_of(h, shards_on, log2_floor(occupied >> SHARD_BITS * shards_on & SHARD_MASK));
}
