#include "group_drain.h"

#include "arena_mesh.h"
#include "mesh_group.h"
#include "pin.h"

static void free_fresh_span(ClassHeap *h, uint32_t page, uint32_t pages) {
  pin_forget(page);
  arena_free_fresh(page, pages);
  h->spans--;
  h->span_frees++;
}

void group_release_member(ClassHeap *h, uint32_t page) {
  const uint32_t pages = size_classes[miniheap_of(page)->size_class].span_pages;
  if (!arena_mesh_to_anonymous(page, pages)) return;
  mesh_group_leave(page);
  h->members--;
  sub_relaxed(&mesh_pages_released, pages);
  free_fresh_span(h, page, pages);
}

/* The last slot of the frame is free. Where a member cannot leave, or the leader, the group stays as an
 * empty span of its class. */
static void end_group(ClassHeap *h, uint32_t leader) {
  MiniHeap *mh = miniheap_of(leader);
  const uint32_t pages = size_classes[mh->size_class].span_pages, frame = mh->frame;
  for (uint32_t member = mh->group_next, next; member != leader; member = next) {
    next = miniheap_of(member)->group_next;
    group_release_member(h, member);
  }
  if (has_members(leader) || !arena_mesh_to_anonymous(leader, pages)) {
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
    end_group(h, page);
  else
    group_release_member(h, page);
}

void group_drain(ClassHeap *h, uint32_t page, size_t i, uint32_t now_ms) {
  MiniHeap *mh = miniheap_of(page);
  const uint32_t leader = mh->leader;
  MiniHeap *first = miniheap_of(leader);
  if (page == leader) {
    if (UNLIKELY(!mesh_group_leader_owns(leader, i)))
      mesh_fatal("double free of", page_address(page) + i * size_classes[mh->size_class].size);
  } else {
    bitmap_clear(mh->bitmap, i);
    mh->live--;
  }
  bitmap_clear(first->bitmap, i);
  first->live--;
  first->stamp = now_ms;
  if (page != leader && mh->live == 0) group_release_member(h, page);
  if (first->live == 0)
    end_group(h, leader);
  else
    rebin(h, leader, first);
}
