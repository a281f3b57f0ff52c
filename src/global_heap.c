#include "global_heap.h"

#include "group_drain.h"
#include "options.h"
#include "os.h"
#include "pin.h"
#include "span_trim.h"

enum { TICK_MS = 50, DRAIN_BATCH = 32, PREFETCH_AHEAD = 8 };

static _Atomic size_t depot_bytes;   /* (~) in full magazines, over all classes */
static _Atomic uint32_t last_tick;   /* (~) os_now_ms */

/* -------------------------------------------------------------------------------------- refill */

static void span_init(uint32_t page, unsigned c) {
  miniheap_init(miniheap_of(page), page, c);
  for (uint32_t i = 1; i < size_classes[c].span_pages; i++) {
    MiniHeap *tail = miniheap_of(page + i);
    tail->offset = (uint8_t)i;
    tail->size_class = (uint8_t)c;
  }
}

/* Pages to populate ahead in one go for a class that holds `spans` spans: none in a small heap. */
static size_t populate_pages(const ClassHeap *h, const SizeClass *sc) {
  size_t pages = min_size((size_t)h->spans * sc->span_pages / POPULATE_SHARE, POPULATE_MAX_PAGES);
  return pages < POPULATE_MIN_PAGES ? 0 : pages;
}

/* Fresh spans into the lowest bin. False when the system has no memory. */
static bool grow(ClassHeap *h, unsigned c, size_t want) {
  const SizeClass *sc = &size_classes[c];
  size_t populate = populate_pages(h, sc);
  size_t spans = max_size(1, max_size(want / sc->slots, populate / sc->span_pages));
  PageContent content;
  uint32_t page = arena_alloc_spans(c, &spans, &content);
  if (page == 0) return false;
  if (content == PAGES_ZERO && populate > 0)
    os_populate(page_address(page), pages_to_bytes(spans * sc->span_pages));
  for (size_t i = spans; i-- > 0;) {
    uint32_t head = page + (uint32_t)i * sc->span_pages;
    span_init(head, c);
    bin_insert(h, head, miniheap_of(head), BIN_FRESH);
  }
  h->spans += (uint32_t)spans;
  h->span_allocs += spans;
  if (h->spans > h->spans_peak) h->spans_peak = h->spans;
  return true;
}

bool global_heap_make_span(uint32_t page, unsigned c) {
  ClassHeap *h = &class_heaps[c];
  if (!arena_alloc_at(page, c)) return false;
  span_init(page, c);
  h->spans++;
  h->span_allocs++;
  if (h->spans > h->spans_peak) h->spans_peak = h->spans;
  return true;
}

size_t global_heap_refill(unsigned c, void **out, size_t want, size_t room, Rng *rng) {
  ClassHeap *h = &class_heaps[c];
  size_t n = 0;
  lock_acquire(&h->lock);
  want = min_size(want, max_size(REFILL_MIN, load_relaxed(&h->live) / REFILL_SHARE));
  while (n < want) {
    uint32_t page = fullest_partial(h);
    if (page == 0) {
      if (!grow(h, c, want - n)) break;
      continue;
    }
    MiniHeap *mh = miniheap_of(page);
    if (mh->bin == BIN_FRESH) h->fresh_idle = false;
    span_untrim(h, mh);
    n += miniheap_take(mh, page_address(page), out + n, room - n, rng);
    miniheap_assert_state(mh);
    rebin(h, page, mh);
  }
  store_relaxed(&h->live, load_relaxed(&h->live) + n);
  lock_release(&h->lock);
  return n;
}

/* --------------------------------------------------------------------------------------- drain */

typedef struct EmptySpans {
  uint32_t page[DRAIN_BATCH];
  size_t count;
} EmptySpans;

static void free_empty_spans(ClassHeap *h, EmptySpans *empty, size_t span_pages) {
  if (empty->count == 0) return;
  arena_free_spans(empty->page, empty->count, span_pages);
  h->spans -= (uint32_t)empty->count;
  h->span_frees += empty->count;
  empty->count = 0;
}

static void drain_slot(ClassHeap *h, const SizeClass *sc, void *slot, uint32_t now_ms, EmptySpans *empty) {
  uint32_t page = span_head(slot);
  MiniHeap *mh = miniheap_of(page);
  size_t offset = (size_t)((char *)slot - page_address(page));
  uint32_t i = slot_index(sc, offset);
  if (UNLIKELY(i * (size_t)sc->size != offset || i >= sc->slots)) class_heap_misuse(h, "invalid free of", slot);
  if (UNLIKELY(!bitmap_get(mh->bitmap, i))) class_heap_misuse(h, "double free of", slot);
  mh->stamp = now_ms;
  if (UNLIKELY(mh->frame != 0)) {
    group_drain(h, page, i, now_ms);
    return;
  }
  bitmap_clear(mh->bitmap, i);
  if (--mh->live > 0) {
    rebin(h, page, mh);
    return;
  }
  bin_remove(h, mh);
  span_untrim(h, mh);
  pin_forget(page);
  empty->page[empty->count++] = page;
  if (empty->count == DRAIN_BATCH) free_empty_spans(h, empty, sc->span_pages);
}

static void drain_locked(ClassHeap *h, unsigned c, void *const *slots, size_t count) {
  const SizeClass *sc = &size_classes[c];
  const uint32_t now_ms = os_now_ms();
  EmptySpans empty;
  empty.count = 0;
  for (size_t i = 0; i < count; i++) {
    if (i + PREFETCH_AHEAD < count) __builtin_prefetch(miniheap_of(page_of(slots[i + PREFETCH_AHEAD])), 1);
    /* A span given back earlier in this batch, and its slot once more: no longer of this class. */
    if (UNLIKELY(class_at(slots[i]) != c)) class_heap_misuse(h, "double free of", slots[i]);
    drain_slot(h, sc, slots[i], now_ms, &empty);
  }
  free_empty_spans(h, &empty, sc->span_pages);
  store_relaxed(&h->live, load_relaxed(&h->live) - count);
}

void global_heap_drain(unsigned c, void *const *slots, size_t count) {
  ClassHeap *h = &class_heaps[c];
  lock_acquire(&h->lock);
  drain_locked(h, c, slots, count);
  lock_release(&h->lock);
}

/* --------------------------------------------------------------------------------------- depot */

/* As many empty magazines a class keeps; the rest go back to the metadata allocator. */
enum { VACANT_MAX = 4 };

static void put_vacant(ClassHeap *h, Magazine *m) {
  m->count = 0;
  if (h->vacant_count >= VACANT_MAX) {
    magazine_delete(m);
    return;
  }
  m->next = h->vacant;
  h->vacant = m;
  h->vacant_count++;
}

static Magazine *take_vacant(ClassHeap *h) {
  Magazine *m = h->vacant;
  if (m == NULL) return NULL;
  h->vacant = m->next;
  h->vacant_count--;
  return m;
}

static Magazine *take_full(ClassHeap *h, size_t slot_size) {
  Magazine *m = h->full;
  if (m == NULL) return NULL;
  h->full = m->next;
  uint32_t left = load_relaxed(&h->full_count) - 1;
  store_relaxed(&h->full_count, left);
  if (left < h->full_low) h->full_low = left;
  h->cached -= m->count;
  sub_relaxed(&depot_bytes, m->count * slot_size);
  return m;
}

Magazine *depot_take_full(unsigned c, Magazine *empty) {
  ClassHeap *h = &class_heaps[c];
  if (load_relaxed(&h->full_count) == 0) return NULL; /* a hint: refill takes the lock anyway */
  lock_acquire(&h->lock);
  Magazine *m = take_full(h, size_classes[c].size);
  if (m != NULL && empty != NULL) put_vacant(h, empty);
  lock_release(&h->lock);
  return m;
}

static bool depot_has_room(size_t bytes) {
  return load_relaxed(&depot_bytes) + bytes <= max_size(DEPOT_KEEP_MIN, arena_used_bytes() / DEPOT_SHARE);
}

Magazine *depot_put_full(unsigned c, Magazine *full) {
  ClassHeap *h = &class_heaps[c];
  size_t bytes = (size_t)full->count * size_classes[c].size;
  Magazine *empty;
  lock_acquire(&h->lock);
  if (depot_has_room(bytes)) {
    full->next = h->full;
    h->full = full;
    store_relaxed(&h->full_count, load_relaxed(&h->full_count) + 1);
    h->cached += full->count;
    add_relaxed(&depot_bytes, bytes);
    empty = take_vacant(h);
  } else {
    drain_locked(h, c, full->slots, full->count);
    full->count = 0;
    empty = full;
  }
  lock_release(&h->lock);
  return empty != NULL ? empty : magazine_new(full->capacity);
}

static void drain_magazines(unsigned c, uint32_t count) {
  ClassHeap *h = &class_heaps[c];
  for (; count > 0; count--) {
    Magazine *m = take_full(h, size_classes[c].size);
    if (m == NULL) return;
    drain_locked(h, c, m->slots, m->count);
    put_vacant(h, m);
  }
}

bool depot_drain_some(unsigned c, uint32_t count) {
  ClassHeap *h = &class_heaps[c];
  lock_acquire(&h->lock);
  bool any = h->full != NULL;
  drain_magazines(c, count);
  lock_release(&h->lock);
  return any;
}

void depot_drain_all(void) {
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++)
    while (depot_drain_some(c, 1)) {
    }
}

/* --------------------------------------------------------------------------------------- ticks */

/* Gives back the fresh spans that nobody used since the last tick. */
static void free_idle_fresh(ClassHeap *h, unsigned c) {
  EmptySpans empty;
  empty.count = 0;
  while (h->fresh_idle && h->bin[BIN_FRESH] != 0) {
    uint32_t page = h->bin[BIN_FRESH];
    bin_remove(h, miniheap_of(page));
    empty.page[empty.count++] = page;
    if (empty.count == DRAIN_BATCH) free_empty_spans(h, &empty, size_classes[c].span_pages);
  }
  free_empty_spans(h, &empty, size_classes[c].span_pages);
  h->fresh_idle = true;
}

void global_heap_free_fresh(void) {
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
    lock_acquire(&class_heaps[c].lock);
    class_heaps[c].fresh_idle = true;
    free_idle_fresh(&class_heaps[c], c);
    lock_release(&class_heaps[c].lock);
  }
}

/* Drains the magazines that nobody took since the last tick. */
static void drain_unmoved(ClassHeap *h, unsigned c) {
  drain_magazines(c, h->full_low);
  h->full_low = load_relaxed(&h->full_count);
}

void global_heap_tick(uint32_t now_ms) {
  uint32_t last = load_relaxed(&last_tick);
  if (now_ms - last < TICK_MS || !cas_relaxed(&last_tick, &last, now_ms)) return;
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
    ClassHeap *h = &class_heaps[c];
    if (!lock_try(&h->lock)) continue; /* in use: not idle */
    drain_unmoved(h, c);
    free_idle_fresh(h, c);
    lock_release(&h->lock);
  }
  arena_purge(now_ms, options.purge_delay_ms, arena_dirty_limit());
}
