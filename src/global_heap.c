#include "global_heap.h"

#include "group_drain.h"
#include "meta.h"
#include "options.h"
#include "os.h"
#include "pin.h"
#include "span_trim.h"

enum {
  TICK_MS = 50,
  TICK_NS = 200000, /* longest piece of a tick in a call of the program's */
  TICK_META = CLASS_END,
  TICK_ARENA,
  TICK_DONE,
  META_PIECE = 32, /* blocks of metadata purged between two looks at the clock: 0.1 ms */
  DRAIN_BATCH = 32,
  LOOKS_MAX = 3,        /* for spans to release: a look leaves some itself, or others do meanwhile */
  PREFETCH_AHEAD = 8,   /* slots whose MiniHeap is on its way while others are drained, ... */
  NEIGHBOURS_AHEAD = 4, /* ... and the MiniHeaps beside that in its list */
};

/* The tick under way, which threads may share: first each class, then the metadata, then the arena. */
static struct {
  _Atomic uint64_t last;  /* (~) os_now_ms when it began ... */
  _Atomic uint64_t early; /* (~) ... and when it last began with the arena, because too much was dirty */
  _Atomic uint32_t stage; /* (~) class or TICK_... */
} tick = {.stage = TICK_DONE};

/* -------------------------------------------------------------------------------------- refill */

/* False when the system has no memory for what describes the span. */
static bool span_init(uint32_t page, unsigned c) {
  for (uint32_t i = 1; i < size_classes[c].span_pages; i++) miniheap_of(page + i)->offset = (uint8_t)i;
  return miniheap_init(miniheap_of(page), page, c);
}

/* Pages to populate ahead in one go for a class that holds `spans` spans: none in a small heap. */
static size_t populate_pages(const ClassHeap *h, const SizeClass *sc) {
  size_t pages = min_size((size_t)h->spans * sc->span_pages / POPULATE_SHARE, POPULATE_MAX_PAGES);
  return pages < POPULATE_MIN_PAGES ? 0 : pages;
}

/* Pages to populate once no lock is held: clearing them takes longer than all else. Should they have been freed and
 * purged by then, so many, POPULATE_MAX_PAGES, are resident until they are used. */
typedef struct Unpopulated {
  uint32_t page;
  size_t pages;
} Unpopulated;

/* Fresh spans into the lowest bin. False when the system has no memory. */
static bool grow(ClassHeap *h, unsigned c, size_t want, Unpopulated *fresh) {
  const SizeClass *sc = &size_classes[c];
  size_t populate = populate_pages(h, sc);
  size_t spans = max_size(1, max_size(want / sc->slots, populate / sc->span_pages));
  PageContent content;
  uint32_t page = arena_alloc_spans(c, &spans, &content);
  if (page == 0) return false;
  if (content == PAGES_ZERO && populate > 0) *fresh = (Unpopulated){page, spans * sc->span_pages};
  size_t made = 0;
  for (uint32_t head = page + (uint32_t)spans * sc->span_pages; made < spans; made++) {
    head -= sc->span_pages;
    if (!span_init(head, c)) break;
    bin_insert(h, head, miniheap_of(head), BIN_FRESH);
  }
  if (made < spans) {
    arena_free(page, (spans - made) * sc->span_pages);
    *fresh = (Unpopulated){0, 0};
    spans = made;
  }
  h->spans += (uint32_t)spans;
  h->span_allocs += spans;
  if (h->spans > h->spans_peak) h->spans_peak = h->spans;
  return spans > 0;
}

bool global_heap_make_span(uint32_t page, unsigned c) {
  ClassHeap *h = &class_heaps[c];
  if (!arena_alloc_at(page, c)) return false;
  if (!span_init(page, c)) {
    arena_free(page, size_classes[c].span_pages);
    return false;
  }
  h->spans++;
  h->span_allocs++;
  if (h->spans > h->spans_peak) h->spans_peak = h->spans;
  return true;
}

/* Slots that a refill takes whatever is live. */
static size_t refill_min(unsigned c) {
  return max_size(1, min_size(REFILL_MIN, REFILL_MIN_BYTES / size_classes[c].size));
}

size_t global_heap_refill(unsigned c, void **out, size_t want, size_t room, Rng *rng) {
  ClassHeap *h = &class_heaps[c];
  Unpopulated fresh = {0, 0};
  size_t n = 0;
  lock_acquire(&h->lock);
  want = min_size(want, max_size(refill_min(c), load_relaxed(&h->live) / REFILL_SHARE));
  while (n < want) {
    uint32_t page = fullest_partial(h);
    if (page == 0) {
      if (!grow(h, c, want - n, &fresh)) break;
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
  if (fresh.pages > 0) os_populate(page_address(fresh.page), pages_to_bytes(fresh.pages));
  return n;
}

/* --------------------------------------------------------------------------------------- drain */

typedef struct EmptySpans {
  uint32_t page[DRAIN_BATCH];
  size_t count;
} EmptySpans;

static void free_empty_spans(ClassHeap *h, EmptySpans *empty, size_t span_pages) {
  if (empty->count == 0) return;
  for (size_t i = 0; i < empty->count; i++) miniheap_end(miniheap_of(empty->page[i]));
  arena_free_spans(empty->page, empty->count, span_pages);
  h->spans -= (uint32_t)empty->count;
  h->span_frees += empty->count;
  empty->count = 0;
}

/* The number of a slot that lies in the span at `base`, and is live if the program makes no mistake. */
static uint32_t live_slot_index(ClassHeap *h, const SizeClass *sc, const uint64_t *bitmap, const char *base,
                                const void *slot) {
  size_t offset = (size_t)((const char *)slot - base);
  uint32_t i = slot_index(sc, offset);
  if (UNLIKELY(i * (size_t)sc->size != offset || i >= sc->slots)) class_heap_misuse(h, "invalid free of", slot);
  if (UNLIKELY(!bitmap_get(bitmap, i))) class_heap_misuse(h, "double free of", slot);
  return i;
}

static void note_drained(ClassHeap *h, const SizeClass *sc, uint32_t page, MiniHeap *mh, EmptySpans *empty) {
  if (mh->live > 0) {
    rebin(h, page, mh);
    return;
  }
  bin_remove(h, mh);
  span_untrim(h, mh);
  pin_forget(page);
  empty->page[empty->count++] = page;
  if (empty->count == DRAIN_BATCH) free_empty_spans(h, empty, sc->span_pages);
}

/* Drains the first slot and those that follow it from the same span; returns how many. */
static size_t drain_run(ClassHeap *h, const SizeClass *sc, void *const *slots, size_t count, uint32_t now_ms,
                        EmptySpans *empty) {
  const uint32_t page = span_head(slots[0]);
  const size_t span_bytes = pages_to_bytes(sc->span_pages);
  const char *base = page_address(page);
  MiniHeap *mh = miniheap_of(page);
  uint64_t *bitmap = miniheap_bitmap(mh, sc);
  mh->stamp = miniheap_stamp(now_ms);
  if (UNLIKELY(mh->frame != 0)) {
    group_drain(h, page, live_slot_index(h, sc, bitmap, base, slots[0]), now_ms);
    return 1;
  }
  size_t n = 0;
  do {
    bitmap_clear(bitmap, live_slot_index(h, sc, bitmap, base, slots[n]));
    mh->live--;
  } while (++n < count && (size_t)((char *)slots[n] - base) < span_bytes);
  note_drained(h, sc, page, mh, empty);
  return n;
}

/* Those that rebin would change. A slot that was freed once too often may lie in anything by now. */
static void prefetch_neighbours(unsigned c, const void *slot) {
  if (class_at(slot) != c) return;
  const MiniHeap *mh = miniheap_of(span_head(slot));
  __builtin_prefetch(miniheap_of(mh->next), 1);
  __builtin_prefetch(miniheap_of(mh->prev), 1);
}

static void drain_locked(ClassHeap *h, unsigned c, void *const *slots, size_t count) {
  const SizeClass *sc = &size_classes[c];
  const uint32_t now_ms = (uint32_t)os_now_ms();
  EmptySpans empty;
  empty.count = 0;
  group_allow_releases(h);
  for (size_t i = 0; i < count;) {
    if (i + PREFETCH_AHEAD < count) __builtin_prefetch(miniheap_of(page_of(slots[i + PREFETCH_AHEAD])), 1);
    if (i + NEIGHBOURS_AHEAD < count) prefetch_neighbours(c, slots[i + NEIGHBOURS_AHEAD]);
    /* A span given back earlier in this batch, and its slot once more: no longer of this class. */
    if (UNLIKELY(class_at(slots[i]) != c)) class_heap_misuse(h, "double free of", slots[i]);
    i += drain_run(h, sc, slots + i, count - i, now_ms, &empty);
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

bool global_heap_is_pinned(unsigned c, size_t cached) {
  ClassHeap *h = &class_heaps[c];
  const size_t live = load_relaxed(&h->live);
  if (2 * cached < live) return false;
  lock_acquire(&h->lock);
  const size_t held = pages_to_bytes((size_t)(h->spans - h->members) * size_classes[c].span_pages);
  lock_release(&h->lock);
  return held >= PINNED_MIN && 2 * held >= 3 * live * size_classes[c].size;
}

/* --------------------------------------------------------------------------------------- depot */

Magazine *depot_put_full(unsigned c, Magazine *full) {
  Magazine *empty = NULL;
  if (!depot_put(c, full, &empty)) {
    global_heap_drain(c, full->slots, full->count);
    full->count = 0;
    return full;
  }
  return empty != NULL ? empty : magazine_new(size_classes[c].capacity); /* `full` is others' by now */
}

static void drain_magazine(unsigned c, Magazine *m) {
  global_heap_drain(c, m->slots, m->count);
  magazine_delete(m);
}

bool depot_drain_some(unsigned c, uint32_t count) {
  Magazine *m = NULL;
  for (; count > 0 && (m = depot_take(c, NULL)) != NULL; count--) drain_magazine(c, m);
  return m != NULL;
}

void depot_drain_all(void) {
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
    while (depot_drain_some(c, 1)) {
    }
    depot_mark(c);
  }
}

/* --------------------------------------------------------------------------------------- ticks */

/* Gives back the fresh spans that nobody used since the last tick. */
static void free_idle_fresh(ClassHeap *h, unsigned c) {
  EmptySpans empty;
  empty.count = 0;
  for (uint32_t page; h->fresh_idle && (page = fresh_span(h)) != 0;) {
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

/* Drains a magazine that nobody took since the last tick; false if there was none, or the class is in use: not idle. */
static bool drain_unmoved(ClassHeap *h, unsigned c) {
  if (!lock_try(&h->lock)) return false;
  Magazine *m = depot_take_unmoved(c);
  if (m != NULL) drain_locked(h, c, m->slots, m->count);
  lock_release(&h->lock);
  if (m != NULL) magazine_delete(m);
  return m != NULL;
}

static bool is_unreleased(unsigned c) { return (load_relaxed(&classes_unreleased) >> c & 1) != 0; }

/* Of the spans that drains left on frames; false if there are none, or the class is in use. */
static bool release_some(ClassHeap *h, unsigned c) {
  if (!is_unreleased(c) || !lock_try(&h->lock)) return false;
  const bool more = group_release_some(h);
  lock_release(&h->lock);
  return more;
}

/* Those that one look over the arena finds. */
static void release_each(ClassHeap *h) {
  for (bool more = true; more;) {
    lock_acquire(&h->lock);
    more = group_release_some(h);
    lock_release(&h->lock);
  }
}

void global_heap_release_all(void) {
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++) {
    for (int looks = 0; looks < LOOKS_MAX && is_unreleased(c); looks++) release_each(&class_heaps[c]);
  }
}

static void finish_class(unsigned c) {
  ClassHeap *h = &class_heaps[c];
  if (!lock_try(&h->lock)) return;
  free_idle_fresh(h, c);
  lock_release(&h->lock);
  depot_mark(c);
}

/* A piece of the tick that has come to `stage`; false if nothing was left of it there. */
static bool tick_piece(uint32_t stage, uint64_t now_ms) {
  if (stage < CLASS_END) return drain_unmoved(&class_heaps[stage], stage) || release_some(&class_heaps[stage], stage);
  if (stage == TICK_META) return meta_purge_some(META_PIECE);
  return arena_purge_some((uint32_t)now_ms, options.purge_delay_ms, arena_dirty_limit(), PURGE_PIECE) == PURGE_PIECE;
}

/* What ends a stage, done by one thread. */
static void finish_stage(uint32_t stage) {
  if (stage < CLASS_END)
    finish_class(stage);
  else if (stage == TICK_META)
    meta_mark();
}

static bool too_much_is_dirty(void) { return pages_to_bytes(load_relaxed(&arena.dirty_pages)) > arena_dirty_limit(); }

/* Begins a tick if one is due; returns its stage. */
static uint32_t begin_tick(uint64_t now_ms) {
  uint64_t last = load_relaxed(&tick.last), early = load_relaxed(&tick.early);
  uint32_t stage = TICK_DONE;
  if (now_ms - last >= TICK_MS && cas_relaxed(&tick.last, &last, now_ms)) {
    store_relaxed(&tick.stage, stage = CLASS_FIRST);
  } else if (now_ms != early && too_much_is_dirty() && cas_relaxed(&tick.early, &early, now_ms)) {
    /* Not twice in a millisecond: the system may refuse it. */
    if (cas_relaxed(&tick.stage, &stage, TICK_ARENA)) stage = TICK_ARENA;
  }
  return stage;
}

bool global_heap_tick(uint64_t now_ms) {
  uint32_t stage = load_relaxed(&tick.stage);
  if (stage == TICK_DONE) stage = begin_tick(now_ms);
  if (stage == TICK_DONE) return false;
  const uint64_t begin = os_now_ns();
  do {
    if (!tick_piece(stage, now_ms) && cas_relaxed(&tick.stage, &stage, stage + 1)) finish_stage(stage);
    stage = load_relaxed(&tick.stage);
  } while (stage != TICK_DONE && os_now_ns() - begin < TICK_NS);
  return stage != TICK_DONE;
}
