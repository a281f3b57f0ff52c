#include "span_trim.h"

#include "os.h"

/* No live slot touches the page that is the k-th of the span. */
static bool page_is_free(MiniHeap *mh, const SizeClass *sc, size_t k) {
  size_t first = k * arena.page_size / sc->size, last = ((k + 1) * arena.page_size - 1) / sc->size;
  const size_t live = bitmap_next(miniheap_bitmap(mh, sc), sc->slots, first);
  return live > last || live == sc->slots; /* what is left over behind the last slot counts as one */
}

unsigned span_trim(ClassHeap *h, uint32_t page) {
  MiniHeap *mh = miniheap_of(page);
  const SizeClass *sc = miniheap_class(mh);
  /* A frame never had more than the pages with live slots, and the pages of others' memory are not ours. */
  if (sc->span_pages == 1 || mh->frame != 0 || mh->stamp == 0) return 0;
  unsigned purges = 0;
  span_untrim(h, mh);
  for (uint32_t k = 0; k < sc->span_pages;) {
    uint32_t end = k;
    while (end < sc->span_pages && page_is_free(mh, sc, end)) end++;
    purges += end > k;
    if (end > k && os_purge(page_address(page + k), pages_to_bytes(end - k)))
      mh->trimmed = mh->trimmed + (end - k);
    k = end + 1;
  }
  h->trimmed_pages += mh->trimmed;
  mh->stamp = 0;
  return purges;
}
