#include "mesh_apply.h"

#include <string.h>

#include "arena_mesh.h"
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
  uint32_t leading, run;
  MeshMove move[MESH_BATCH_MAX];
  size_t moves, ranges;
  Join join[MESH_BATCH_MAX];
  size_t joins;
  uint64_t taken[MESH_RUN_WORDS]; /* bitmaps of the leading spans' frames, with what this batch adds */
} batch;

bool mesh_candidate(uint32_t page, unsigned c) {
  const MiniHeap *mh = miniheap_of(page);
  return class_at(page_address(page)) == c && mh->offset == 0 && mh->leader == page && mh->live > 0 &&
         mh->live < mh->slots && !pin_holds(page);
}

/* Moves the batch, if the mappings that it needs are allowed; the barrier takes some for a moment. */
static void move_batch(void) {
  const uint32_t span_pages = size_classes[batch.c].span_pages;
  size_t needed = arena_mesh_maps_needed(batch.move, batch.moves, span_pages);
  if (arena_mesh_maps() + needed <= arena_mesh_maps_limit()) arena_mesh_move(batch.move, batch.moves, batch.c);
}

static bool can_lead(uint32_t page, unsigned c) {
  return mesh_candidate(page, c) && !frame_is_current(miniheap_of(page)->frame);
}

bool mesh_is_stale(uint32_t page, unsigned c) {
  const MiniHeap *mh = miniheap_of(page);
  return class_at(page_address(page)) == c && mh->offset == 0 && mh->frame != 0 && !frame_is_current(mh->frame) &&
         !pin_holds(page);
}

/* Gives those of `run` neighbouring spans that are `chosen` frames at their own places. */
static void give_frames(unsigned c, uint32_t page, uint32_t run, bool (*chosen)(uint32_t, unsigned)) {
  const uint32_t span_pages = size_classes[c].span_pages;
  batch.c = c;
  batch.moves = 0;
  for (uint32_t k = 0; k < run; k++, page += span_pages)
    if (chosen(page, c) && arena_mesh_claim_frame(page))
      batch.move[batch.moves++] = (MeshMove){.page = page, .frame = page, .copy = true};
  move_batch();
  for (size_t i = 0; i < batch.moves; i++) {
    if (frame_is_current(miniheap_of(batch.move[i].page)->frame))
      span_untrim(&class_heaps[c], miniheap_of(batch.move[i].page));
    else
      arena_mesh_release_frame(batch.move[i].page, span_pages);
  }
}

void mesh_lead(unsigned c, uint32_t page, uint32_t run) { give_frames(c, page, run, can_lead); }

void mesh_renew(unsigned c, uint32_t page, uint32_t run) { give_frames(c, page, run, mesh_is_stale); }

void mesh_join_begin(unsigned c, uint32_t leading, uint32_t run) {
  const SizeClass *sc = &size_classes[c];
  const size_t words = bitmap_words(sc->slots);
  batch.c = c;
  batch.leading = leading;
  batch.run = run;
  batch.moves = batch.joins = batch.ranges = 0;
  for (uint32_t k = 0; k < run; k++) {
    uint32_t a = leading + k * sc->span_pages;
    if (mesh_candidate(a, c)) memcpy(batch.taken + k * words, miniheap_of(a)->bitmap, words * sizeof(uint64_t));
  }
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
  if (!mesh_candidate(a, batch.c) || !mesh_candidate(b, batch.c)) return;
  const MiniHeap *to = miniheap_of(a), *from = miniheap_of(b);
  if (a == b || !frame_is_current(to->frame)) return;
  for (size_t w = 0; w < bitmap_words(from->slots); w++)
    if (taken[w] & from->bitmap[w]) return;
  size_t spans = movable_spans(b);
  if (spans == 0 || spans > GROUP_SIZE_MAX || batch.moves + spans > MESH_BATCH_MAX) return;
  for (size_t w = 0; w < bitmap_words(from->slots); w++) taken[w] |= from->bitmap[w];
  batch.join[batch.joins++] = (Join){.into = a, .from = b, .old_frame = from->frame};
  uint32_t page = b;
  do {
    /* The leader's bitmap is the whole frame's: what it copies, the members see too. */
    batch.move[batch.moves++] = (MeshMove){.page = page, .frame = to->frame, .copy = page == b};
    page = miniheap_of(page)->group_next;
  } while (page != b);
}

bool mesh_join_add(uint32_t page) {
  const SizeClass *sc = &size_classes[batch.c];
  const size_t words = bitmap_words(sc->slots), before = batch.moves;
  if (batch.ranges >= BATCH_RANGES || batch.moves >= MESH_BATCH_MAX / 2) return false;
  for (uint32_t k = 0; k < batch.run; k++)
    add_join(batch.leading + k * sc->span_pages, page + k * sc->span_pages, batch.taken + k * words);
  batch.ranges += 1 + (batch.moves - before) / batch.run;
  return true;
}

/* The bookkeeping of one join after its spans were mapped, or not. True if all were. */
static bool settle(ClassHeap *h, const Join *join, uint32_t span_pages) {
  MiniHeap *from = miniheap_of(join->from);
  bin_remove(h, from);
  span_untrim(h, from);
  uint32_t rest = mesh_group_merge(join->into, join->from);
  rebin(h, join->into, miniheap_of(join->into));
  mesh_group_assert_state(join->into);
  if (rest != 0) {
    rebin(h, rest, miniheap_of(rest));
    return false;
  }
  h->members++;
  add_relaxed(&mesh_pages_released, span_pages);
  if (frame_is_current(join->old_frame)) arena_mesh_release_frame(join->old_frame, span_pages);
  if (from->live == 0) group_release_member(h, join->from);
  return true;
}

size_t mesh_join_end(void) {
  size_t joined = 0;
  if (batch.joins == 0) return 0;
  move_batch();
  for (size_t i = 0; i < batch.joins; i++)
    joined += settle(&class_heaps[batch.c], &batch.join[i], size_classes[batch.c].span_pages);
  return joined;
}
