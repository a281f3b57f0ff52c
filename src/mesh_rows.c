#include "mesh_rows.h"

#include "arena.h"
#include "group_drain.h"
#include "mesh_apply.h"
#include "mesh_group.h"
#include "os.h"
#include "span_trim.h"

/* In one hold of the class lock. */
enum {
  PIECE_PAGES = 1024, /* looked at */
  PIECE_PURGES = 64,  /* system calls: 0.2 ms or more */
};

static bool is_settled(const MeshRows *r, uint32_t page, uint32_t now_ms) {
  return r->unsettled_too || miniheap_settle(miniheap_of(page), now_ms);
}

/* Trims the span if it is one that can be. (S) */
static void trim(MeshRows *r, ClassHeap *h, uint32_t page, uint32_t now_ms) {
  MiniHeap *mh = miniheap_of(page);
  if (mh->offset != 0 || mh->bin == BIN_NONE || mh->bin == BIN_FRESH || !is_settled(r, page, now_ms)) return;
  size_t before = h->trimmed_pages;
  r->purges += span_trim(h, page);
  if (h->trimmed_pages > before) r->trimmed += h->trimmed_pages - before;
}

/* The group of the span at `page` goes on in that of the span before: both are parts of rows, and to take them
 * apart costs a mapping for each row of the group. (S) */
static bool continues(const MeshRows *r, uint32_t page) {
  const uint32_t span_pages = size_classes[r->c].span_pages;
  if (page <= span_pages || class_at(page_address(page)) != r->c) return false;
  const uint32_t before = page - span_pages;
  if (class_at(page_address(before)) != r->c) return false;
  const MiniHeap *mh = miniheap_of(page), *mh_before = miniheap_of(before);
  return mh->offset == 0 && mh_before->offset == 0 && is_leader(page) && is_leader(before) && has_members(page) &&
         has_members(before) && mh->group_next == mh_before->group_next + span_pages;
}

/* --------------------------------------------------------------------------------------- count */

void mesh_rows_begin_count(MeshRows *r, unsigned c, bool unsettled_too) {
  const RowCount none = {.slots = size_classes[c].slots, .span_pages = size_classes[c].span_pages};
  *r = (MeshRows){.c = c, .unsettled_too = unsettled_too, .cursor = 1, .lone = none, .bound = none};
}

static void end_bound_row(MeshRows *r) {
  if (r->bound_row > 0) r->bound.rows_of[min_size(RUN_LENGTHS - 1, log2_ceil(r->bound_row))]++;
  r->bound_row = 0;
}

static void end_stretch(MeshRows *r) {
  r->stretch -= r->free_spans;
  r->free_spans = 0;
  for (unsigned i = 1; i < RUN_LENGTHS; i++) r->lone.rows_of[i] += r->stretch >> i;
  r->lone.gaps += r->stretch > 0;
  r->stretch = 0;
}

/* The span at `page` can be a row's next. (S) */
static bool settled_candidate(MeshRows *r, uint32_t page, uint32_t now_ms) {
  if (!mesh_candidate(page, r->c)) return false;
  if (is_settled(r, page, now_ms)) return true;
  r->unsettled++;
  return false;
}

static void count_lone(MeshRows *r, uint32_t page) {
  end_bound_row(r);
  r->lone.spans++;
  r->lone.live += miniheap_of(page)->live;
  r->lone.fillers += r->free_spans;
  r->lone.holes += r->free_spans > 0;
  r->free_spans = 0;
  r->stretch++;
}

static void count_bound(MeshRows *r, uint32_t page) {
  end_stretch(r);
  if (!continues(r, page)) end_bound_row(r);
  r->bound.spans++;
  r->bound.live += miniheap_of(page)->live;
  r->bound_row++;
}

/* What stands at the cursor, which goes on behind it. (S) */
static void count_one(MeshRows *r, ClassHeap *h, uint32_t now_ms) {
  const uint32_t page = r->cursor, span_pages = size_classes[r->c].span_pages;
  bool ours = class_at(page_address(page)) == r->c;
  if (ours && miniheap_of(page)->offset == 0) group_release_empty(h, page);
  ours = ours && class_at(page_address(page)) == r->c;
  if (ours && class_trims(r->c)) trim(r, h, page, now_ms);
  if (ours && class_meshes(r->c) && settled_candidate(r, page, now_ms)) {
    if (has_members(page))
      count_bound(r, page);
    else
      count_lone(r, page);
    r->cursor += span_pages;
  } else if (r->stretch > 2 * r->free_spans && mesh_fillable(page, r->c)) {
    r->stretch++;
    r->free_spans++;
    r->cursor += span_pages;
  } else {
    end_stretch(r);
    end_bound_row(r);
    r->cursor++;
  }
}

/* The end of the arena is read without its lock: it only grows, and later spans can wait. */
static uint32_t piece_end(const MeshRows *r, uint32_t end) {
  return (uint32_t)min_size(end, (size_t)r->cursor + PIECE_PAGES);
}

bool mesh_rows_count_some(MeshRows *r) {
  ClassHeap *h = &class_heaps[r->c];
  const uint32_t now_ms = (uint32_t)os_now_ms(), end = arena.frontier, stop = piece_end(r, end);
  lock_acquire(&h->lock);
  group_allow_releases(h);
  r->purges = 0;
  while (r->cursor < stop && r->purges < PIECE_PURGES && h->releases_allowed > 0) count_one(r, h, now_ms);
  lock_release(&h->lock);
  if (r->cursor < end) return true;
  end_stretch(r);
  end_bound_row(r);
  r->lone.rows_of[0] = r->lone.spans;
  return false;
}

/* ---------------------------------------------------------------------------------------- list */

static size_t words_of(const MeshRows *r, uint32_t run) { return bitmap_words(run * size_classes[r->c].slots); }

/* The bitmaps begin with a cache line. */
static size_t head_size(size_t max) { return round_up(max * sizeof(uint32_t), 64); }

size_t mesh_rows_memory(const MeshRows *r, uint32_t run, size_t max) {
  return head_size(max) + max * words_of(r, run) * sizeof(uint64_t);
}

void mesh_rows_begin_list(MeshRows *r, uint32_t run, size_t max, void *memory) {
  r->run = run;
  r->max = max;
  r->words = words_of(r, run);
  r->page = memory;
  r->bits = (uint64_t *)((char *)memory + head_size(max));
  r->count = r->row_end = 0;
  r->cursor = 1;
}

static void add_row(MeshRows *r, uint32_t page) {
  const SizeClass *sc = &size_classes[r->c];
  uint64_t *row = r->bits + r->count * r->words;
  r->page[r->count++] = page;
  for (uint32_t k = 0; k < r->run; k++, page += sc->span_pages)
    if (class_at(page_address(page)) == r->c)
      bitmap_append(row, k * sc->slots, miniheap_bitmap(miniheap_of(page), sc), sc->slots);
  r->row_end = page;
}

/* At least half of a row are spans of the class, and it does not cut a row that is bound. It begins with a free
 * page only if that would else be a gap after the row before: a gap costs a mapping. (S) */
static bool is_row(const MeshRows *r, uint32_t page, uint32_t end, uint32_t now_ms) {
  const uint32_t span_pages = size_classes[r->c].span_pages;
  uint32_t spans = 0;
  if (continues(r, page)) return false;
  for (uint32_t k = 0; k < r->run; k++, page += span_pages) {
    if (page + span_pages > end) return false;
    if (mesh_candidate(page, r->c) && is_settled(r, page, now_ms))
      spans++;
    else if ((k == 0 && page != r->row_end) || !mesh_fillable(page, r->c))
      return false;
  }
  return 2 * spans >= r->run && !(page < end && continues(r, page));
}

bool mesh_rows_list_some(MeshRows *r) {
  ClassHeap *h = &class_heaps[r->c];
  const uint32_t now_ms = (uint32_t)os_now_ms(), end = arena.frontier, stop = piece_end(r, end);
  lock_acquire(&h->lock);
  while (r->cursor < stop && r->count < r->max) {
    if (is_row(r, r->cursor, end, now_ms)) {
      add_row(r, r->cursor);
      r->cursor = r->row_end;
    } else {
      r->cursor++;
    }
  }
  lock_release(&h->lock);
  return r->cursor < end && r->count < r->max;
}
