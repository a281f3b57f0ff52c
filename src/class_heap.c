#include "class_heap.h"

ClassHeap class_heaps[CLASS_END];
_Atomic size_t mesh_pages_released;

static Lock the_mesh_lock = LOCK_INIT(RANK_MESH);

Lock *mesh_lock(void) { return &the_mesh_lock; }

void class_heaps_init(void) {
  for (unsigned c = 0; c < CLASS_END; c++) class_heaps[c].lock.rank = RANK_CLASS + c;
}

void class_heap_misuse(ClassHeap *h, const char *what, const void *address) {
  lock_release(&h->lock);
  mesh_fatal(what, address);
}

void bin_insert(ClassHeap *h, uint32_t page, MiniHeap *mh, uint8_t bin) {
  mh->bin = bin;
  mh->prev = 0;
  mh->next = h->bin[bin];
  if (mh->next != 0) miniheap_of(mh->next)->prev = page;
  h->bin[bin] = page;
}

void bin_remove(ClassHeap *h, MiniHeap *mh) {
  if (mh->bin == BIN_NONE) return;
  if (mh->next != 0) miniheap_of(mh->next)->prev = mh->prev;
  if (mh->prev != 0)
    miniheap_of(mh->prev)->next = mh->next;
  else
    h->bin[mh->bin] = mh->next;
  mh->bin = BIN_NONE;
}

void rebin(ClassHeap *h, uint32_t page, MiniHeap *mh) {
  uint8_t bin = miniheap_bin(mh);
  if (bin == mh->bin) return;
  bin_remove(h, mh);
  if (bin != BIN_NONE) bin_insert(h, page, mh, bin);
}

uint32_t fullest_partial(const ClassHeap *h) {
  for (unsigned b = OCCUPANCY_BINS; b-- > 0;)
    if (h->bin[b] != 0) return h->bin[b];
  return h->bin[BIN_FRESH];
}
