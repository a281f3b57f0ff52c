#include "group_drain.h"

#include "arena_mesh.h"
#include "mesh_group.h"
#include "pin.h"

enum { LOOK_PAGES = 1024 }; /* in one hold of the class lock */

static void free_fresh_span(ClassHeap *h, uint32_t page, uint32_t pages) {
  pin_forget(page);
  miniheap_end(miniheap_of(page));
  arena_free_fresh(page, pages);
  h->spans--;
  h->span_frees++;
}

static uint64_t class_bit(const ClassHeap *h) { return (uint64_t)1 << (h - class_heaps); }

/* Takes the span off its frame, if that is still allowed. */
static bool to_anonymous(ClassHeap *h, uint32_t page, uint32_t pages) {
  if (h->releases_allowed > 0) {
    h->releases_allowed--;
    return arena_mesh_to_anonymous(page, pages);
  }
  h->left_again = true;
  or_relaxed(&classes_unreleased, class_bit(h));
  return false;
}

static bool release_member(ClassHeap *h, uint32_t page, uint32_t pages) {
  if (!to_anonymous(h, page, pages)) return false;
  mesh_group_leave(page);
  h->members--;
  sub_relaxed(&mesh_pages_released, pages);
  free_fresh_span(h, page, pages);
  return true;
}

/* A member with no live slot that no mapping depends on any more. */
static bool can_go(const ClassHeap *h, uint32_t page, uint32_t pages) {
  const unsigned c = (unsigned)(h - class_heaps);
  if (page >= arena.frontier || class_at(page_address(page)) != c) return false;
  const MiniHeap *mh = miniheap_of(page);
  return mh->offset == 0 && mh->leader != page && mh->live == 0 && arena_mesh_cost_of_leaving(page, pages) <= 0;
}

uint32_t group_let_go(ClassHeap *h, uint32_t page) {
  const uint32_t pages = miniheap_class(miniheap_of(page))->span_pages;
  if (!can_go(h, page, pages) || !release_member(h, page, pages)) return page;
  for (uint32_t next = page + pages; can_go(h, next, pages) && release_member(h, next, pages);) next += pages;
  for (; can_go(h, page - pages, pages) && release_member(h, page - pages, pages);) page -= pages;
  return page;
}

void group_end(ClassHeap *h, uint32_t leader) {
  MiniHeap *mh = miniheap_of(leader);
  const uint32_t pages = miniheap_class(mh)->span_pages, frame = mh->frame;
  while (has_members(leader) && release_member(h, mh->group_next, pages)) {
  }
  if (has_members(leader) || (frame != 0 && !to_anonymous(h, leader, pages))) {
    rebin(h, leader, mh);
    return;
  }
  bin_remove(h, mh);
  if (frame_is_current(frame)) arena_mesh_release_frame(frame, pages);
  free_fresh_span(h, leader, pages);
}

uint32_t group_release_empty(ClassHeap *h, uint32_t page) {
  const MiniHeap *mh = miniheap_of(page);
  if (mh->frame == 0 || mh->live > 0) return page;
  if (!is_leader(page)) return group_let_go(h, page);
  group_end(h, page);
  return page;
}

/* Looks at the page at the cursor, and goes on behind it; or, if no more are allowed now, before the lowest span that
 * went: those before it may follow, and not until somebody comes from the other end of all that is mapped with them. */
static void release_one(ClassHeap *h, uint32_t span_pages) {
  uint32_t page = h->release_cursor, lowest = page;
  if (class_at(page_address(page)) == (unsigned)(h - class_heaps) && miniheap_of(page)->offset == 0)
    lowest = group_release_empty(h, page);
  if (h->releases_allowed > 0)
    h->release_cursor++;
  else
    h->release_cursor = lowest > span_pages ? lowest - span_pages : 1;
}

/* The end of the arena is read without its lock: it only grows, and no later span was left yet. */
bool group_release_some(ClassHeap *h) {
  if (!(load_relaxed(&classes_unreleased) & class_bit(h))) return false;
  group_allow_releases(h);
  if (h->release_cursor == 0) {
    h->release_cursor = 1;
    h->left_again = false;
  }
  const uint32_t end = arena.frontier, stop = (uint32_t)min_size(end, (size_t)h->release_cursor + LOOK_PAGES);
  const uint32_t span_pages = size_classes[h - class_heaps].span_pages;
  while (h->release_cursor < stop && h->releases_allowed > 0) release_one(h, span_pages);
  if (h->release_cursor < end) return true;
  h->release_cursor = 0;
  if (!h->left_again) and_relaxed(&classes_unreleased, ~class_bit(h));
  return false;
}

void group_drain(ClassHeap *h, uint32_t page, size_t i, uint32_t now_ms) {
  MiniHeap *mh = miniheap_of(page);
  const uint32_t leader = mh->leader;
  MiniHeap *first = miniheap_of(leader);
  const SizeClass *sc = miniheap_class(mh);
  if (page == leader) {
    if (UNLIKELY(!mesh_group_leader_owns(leader, i)))
      class_heap_misuse(h, "double free of", page_address(page) + i * sc->size);
  } else {
    bitmap_clear(miniheap_bitmap(mh, sc), i);
    mh->live--;
  }
  bitmap_clear(miniheap_bitmap(first, sc), i);
  first->live--;
  first->stamp = miniheap_stamp(now_ms);
  if (page != leader && mh->live == 0) group_let_go(h, page);
  if (first->live == 0)
    group_end(h, leader);
  else
    rebin(h, leader, first);
}
