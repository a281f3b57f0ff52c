#include "group_drain.h"

#include "arena_mesh.h"
#include "mesh_group.h"
#include "pin.h"

static void free_fresh_span(ClassHeap *h, uint32_t page, uint32_t pages) {
  pin_forget(page);
  miniheap_end(miniheap_of(page));
  arena_free_fresh(page, pages);
  h->spans--;
  h->span_frees++;
}

static bool release_member(ClassHeap *h, uint32_t page, uint32_t pages) {
  if (!arena_mesh_to_anonymous(page, pages)) return false;
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

void group_let_go(ClassHeap *h, uint32_t page) {
  const uint32_t pages = miniheap_class(miniheap_of(page))->span_pages;
  if (!can_go(h, page, pages) || !release_member(h, page, pages)) return;
  for (uint32_t next = page + pages; can_go(h, next, pages) && release_member(h, next, pages);) next += pages;
  for (uint32_t before = page - pages; can_go(h, before, pages) && release_member(h, before, pages);) before -= pages;
}

void group_end(ClassHeap *h, uint32_t leader) {
  MiniHeap *mh = miniheap_of(leader);
  const uint32_t pages = miniheap_class(mh)->span_pages, frame = mh->frame;
  while (has_members(leader) && release_member(h, mh->group_next, pages)) {
  }
  if (has_members(leader) || (frame != 0 && !arena_mesh_to_anonymous(leader, pages))) {
    rebin(h, leader, mh);
    return;
  }
  bin_remove(h, mh);
  if (frame_is_current(frame)) arena_mesh_release_frame(frame, pages);
  free_fresh_span(h, leader, pages);
}

void group_release_empty(ClassHeap *h, uint32_t page) {
  const MiniHeap *mh = miniheap_of(page);
  if (mh->frame == 0 || mh->live > 0) return;
  if (is_leader(page))
    group_end(h, page);
  else
    group_let_go(h, page);
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
