#include "mesh_apply.h"

#include <string.h>

#include "arena_mesh.h"
#include "global_heap.h"
#include "group_drain.h"
#include "mesh_group.h"
#include "pin.h"
#include "span_trim.h"

enum {
  BATCH_RANGES = 16,  /* mappings changed in a batch: about 200 us */
  GROUP_SIZE_MAX = 8, /* a group with more spans costs more to move than its frame is worth */
};

typedef struct Join {
  uint32_t into, from; /* leaders: group `from` joins group `into` */
  uint32_t old_frame;  /* of `from` */
} Join;

/* (mesh lock) */
static struct {
  unsigned c;
  uint32_t run;
  MeshMove move[MESH_BATCH_MAX];
  size_t moves, ranges;
  Join join[MESH_BATCH_MAX];
  size_t joins;
  uint32_t leading;               /* first span of those that lead at present */
  bool leads[MESH_RUN_SPANS];     /* the k-th of them can: it is on a frame, or moves onto its own in this batch */
  uint64_t taken[MESH_RUN_WORDS]; /* bitmaps of their frames, with what this batch adds */
} batch;

bool mesh_candidate(uint32_t page, unsigned c) {
  const MiniHeap *mh = miniheap_of(page);
  return class_at(page_address(page)) == c && mh->offset == 0 && mh->leader == page && mh->live > 0 &&
         mh->live < size_classes[c].slots && !pin_holds(page);
}

bool mesh_fillable(uint32_t page, unsigned c) {
  const uint32_t end = page + size_classes[c].span_pages;
  if (end > arena.frontier) return false;
  for (; page < end; page++)
    if (class_at(page_address(page)) != CLASS_NONE) return false;
  return true;
}

static bool make_filler(uint32_t page) {
  return mesh_fillable(page, batch.c) && global_heap_make_span(page, batch.c);
}

void mesh_batch_begin(unsigned c, uint32_t run) {
  batch.c = c;
  batch.run = run;
  batch.moves = batch.joins = batch.ranges = 0;
  group_allow_releases(&class_heaps[c]);
}

/* Its place in the file is free. */
static bool add_own_frame(uint32_t page) {
  if (!arena_mesh_claim_frame(page, size_classes[batch.c].span_pages)) return false;
  batch.move[batch.moves++] = (MeshMove){.page = page, .leader = page, .frame = page, .copy = true};
  return true;
}

static bool is_full(void) { return batch.ranges >= BATCH_RANGES || batch.moves >= MESH_BATCH_MAX / 2; }

/* True if the span can lead: it is on a frame, or will be. */
static bool add_lead(uint32_t page) {
  if (batch.moves == MESH_BATCH_MAX) return false;
  if (!mesh_candidate(page, batch.c) && !make_filler(page)) return false;
  if (frame_is_current(miniheap_of(page)->frame)) return true;
  if (add_own_frame(page)) return true;
  if (miniheap_of(page)->live == 0) group_end(&class_heaps[batch.c], page);
  return false;
}

bool mesh_batch_lead(uint32_t page) {
  const SizeClass *sc = &size_classes[batch.c];
  const size_t words = bitmap_words(sc->slots), before = batch.moves;
  if (is_full()) return false;
  batch.leading = page;
  for (uint32_t k = 0; k < batch.run; k++, page += sc->span_pages) {
    batch.leads[k] = add_lead(page);
    if (batch.leads[k])
      memcpy(batch.taken + k * words, miniheap_bitmap(miniheap_of(page), sc), words * sizeof(uint64_t));
  }
  batch.ranges += batch.moves > before;
  return true;
}

/* Spans in the group of leader b; 0 if one of them is pinned. */
static size_t movable_spans(uint32_t b) {
  size_t spans = 0;
  uint32_t page = b;
  do {
    if (pin_holds(page)) return 0;
    page = miniheap_of(page)->group_next;
    spans++;
  } while (page != b);
  return spans;
}

/* Adds the moves that join group b to group a, if they still fit. `taken` is a's bitmap so far. */
static void add_join(uint32_t a, uint32_t b, uint64_t *taken) {
  if (batch.moves == MESH_BATCH_MAX || a == b) return;
  if (!mesh_candidate(b, batch.c) && !make_filler(b)) return;
  const SizeClass *sc = &size_classes[batch.c];
  const MiniHeap *to = miniheap_of(a), *from = miniheap_of(b);
  const uint64_t *bits = miniheap_bitmap(miniheap_of(b), sc);
  const uint32_t frame = frame_is_current(to->frame) ? to->frame : a;
  for (size_t w = 0; w < bitmap_words(sc->slots); w++)
    if (taken[w] & bits[w]) return;
  size_t spans = movable_spans(b);
  if (spans == 0 || spans > GROUP_SIZE_MAX || batch.moves + spans > MESH_BATCH_MAX) return;
  for (size_t w = 0; w < bitmap_words(sc->slots); w++) taken[w] |= bits[w];
  batch.join[batch.joins++] = (Join){.into = a, .from = b, .old_frame = from->frame};
  uint32_t page = b;
  do {
    /* The leader's bitmap is the whole frame's: what it copies, the members see too. */
    batch.move[batch.moves++] = (MeshMove){.page = page, .leader = a, .frame = frame, .copy = page == b};
    page = miniheap_of(page)->group_next;
  } while (page != b);
}

bool mesh_batch_join(uint32_t page) {
  const SizeClass *sc = &size_classes[batch.c];
  const size_t words = bitmap_words(sc->slots), before = batch.moves;
  if (is_full()) return false;
  for (uint32_t k = 0; k < batch.run; k++)
    if (batch.leads[k])
      add_join(batch.leading + k * sc->span_pages, page + k * sc->span_pages, batch.taken + k * words);
  batch.ranges += 1 + (batch.moves - before) / batch.run;
  return true;
}

/* The bookkeeping of one join after its spans were mapped, or not. True if pages were won. */
static bool settle_join(ClassHeap *h, const Join *join, uint32_t span_pages) {
  MiniHeap *from = miniheap_of(join->from);
  const bool filler = from->live == 0;
  uint32_t rest = join->from;
  if (frame_is_current(miniheap_of(join->into)->frame)) {
    bin_remove(h, from);
    if (from->frame == miniheap_of(join->into)->frame) span_untrim(h, from);
    rest = mesh_group_merge(join->into, join->from);
    rebin(h, join->into, miniheap_of(join->into));
    mesh_group_assert_state(join->into);
  }
  if (rest != 0) {
    if (filler)
      group_end(h, rest);
    else
      rebin(h, rest, miniheap_of(rest));
    return false;
  }
  h->members++;
  add_relaxed(&mesh_pages_released, span_pages);
  if (frame_is_current(join->old_frame)) arena_mesh_release_frame(join->old_frame, span_pages);
  if (from->live == 0 && !filler) group_let_go(h, join->from);
  return !filler;
}

/* The bookkeeping of a span that was to move onto its own frame. */
static void settle_lead(ClassHeap *h, uint32_t page, uint32_t span_pages) {
  MiniHeap *mh = miniheap_of(page);
  if (frame_is_current(mh->frame))
    span_untrim(h, mh);
  else
    arena_mesh_release_frame(page, span_pages);
  if (mh->live == 0) group_end(h, page);
}

size_t mesh_batch_end(void) {
  ClassHeap *h = &class_heaps[batch.c];
  const uint32_t span_pages = size_classes[batch.c].span_pages;
  size_t joined = 0;
  /* If the mappings that it needs are allowed; the barrier takes some for a moment. */
  size_t needed = arena_mesh_maps_needed(batch.move, batch.moves, span_pages);
  if (arena_mesh_maps() + needed <= arena_mesh_maps_limit()) arena_mesh_move(batch.move, batch.moves, batch.c);
  for (size_t i = 0; i < batch.joins; i++) joined += settle_join(h, &batch.join[i], span_pages);
  for (size_t i = 0; i < batch.moves; i++)
    if (batch.move[i].leader == batch.move[i].page) settle_lead(h, batch.move[i].page, span_pages);
  return joined;
}

bool mesh_is_stale(uint32_t page, unsigned c) {
  const MiniHeap *mh = miniheap_of(page);
  return class_at(page_address(page)) == c && mh->offset == 0 && mh->frame != 0 && !frame_is_current(mh->frame) &&
         !pin_holds(page);
}

void mesh_renew(unsigned c, uint32_t page, uint32_t run) {
  mesh_batch_begin(c, run);
  for (uint32_t k = 0; k < run; k++, page += size_classes[c].span_pages)
    if (mesh_is_stale(page, c)) add_own_frame(page);
  mesh_batch_end();
}
