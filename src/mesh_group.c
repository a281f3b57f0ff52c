#include "mesh_group.h"

static uint64_t *bitmap_of(uint32_t page) {
  MiniHeap *mh = miniheap_of(page);
  return miniheap_bitmap(mh, miniheap_class(mh));
}

static uint32_t slots_of(uint32_t page) { return miniheap_class(miniheap_of(page))->slots; }

size_t mesh_group_size(uint32_t leader) {
  size_t n = 1;
  for (uint32_t p = miniheap_of(leader)->group_next; p != leader; p = miniheap_of(p)->group_next) n++;
  return n;
}

bool mesh_group_leader_owns(uint32_t leader, size_t i) {
  if (!bitmap_get(bitmap_of(leader), i)) return false;
  for (uint32_t p = miniheap_of(leader)->group_next; p != leader; p = miniheap_of(p)->group_next)
    if (bitmap_get(bitmap_of(p), i)) return false;
  return true;
}

void mesh_group_keep_own_bits(uint32_t leader) {
  MiniHeap *mh = miniheap_of(leader);
  uint64_t *bitmap = bitmap_of(leader);
  const size_t slots = slots_of(leader);
  for (uint32_t p = mh->group_next; p != leader; p = miniheap_of(p)->group_next)
    for (size_t w = 0; w < bitmap_words(slots); w++) bitmap[w] &= ~bitmap_of(p)[w];
  mh->live = (uint16_t)bitmap_count(bitmap, slots);
}

/* Of a group of its own. */
static uint32_t make_leader(uint32_t page) {
  MiniHeap *mh = miniheap_of(page);
  mh->leader = mh->group_next = page;
  return page;
}

/* Adds a span with its own bits to the group of `leader`. */
static void adopt(uint32_t leader, uint32_t page) {
  MiniHeap *to = miniheap_of(leader), *mh = miniheap_of(page);
  uint64_t *of_group = bitmap_of(leader);
  const uint64_t *own = bitmap_of(page);
  for (size_t w = 0; w < bitmap_words(slots_of(page)); w++) {
    check_debug((of_group[w] & own[w]) == 0);
    of_group[w] |= own[w];
  }
  to->live = (uint16_t)(to->live + mh->live);
  mh->leader = leader;
  mh->group_next = to->group_next;
  to->group_next = page;
}

uint32_t mesh_group_merge(uint32_t a, uint32_t b) {
  check_debug(is_leader(a) && is_leader(b) && a != b);
  mesh_group_keep_own_bits(b);
  uint32_t rest = 0, next;
  for (uint32_t page = b, more = 1; more; page = next) {
    MiniHeap *mh = miniheap_of(page);
    next = mh->group_next;
    more = next != b;
    if (mh->frame == miniheap_of(a)->frame) {
      adopt(a, page);
    } else if (rest == 0) {
      rest = make_leader(page);
    } else {
      adopt(rest, page);
    }
  }
  return rest;
}

uint32_t mesh_group_split(uint32_t page) {
  const uint32_t leader = miniheap_of(page)->leader;
  uint32_t rest = 0, next;
  mesh_group_keep_own_bits(leader);
  for (uint32_t p = leader, more = 1; more; p = next) {
    MiniHeap *mh = miniheap_of(p);
    next = mh->group_next;
    more = next != leader;
    if (p == page)
      make_leader(p);
    else if (rest == 0)
      rest = make_leader(p);
    else
      adopt(rest, p);
  }
  return rest;
}

void mesh_group_leave(uint32_t member) {
  MiniHeap *mh = miniheap_of(member);
  check_debug(!is_leader(member) && mh->live == 0);
  uint32_t before = mh->leader;
  while (miniheap_of(before)->group_next != member) before = miniheap_of(before)->group_next;
  miniheap_of(before)->group_next = mh->group_next;
  make_leader(member);
}

void mesh_group_assert_state(uint32_t leader) {
  if (!MESH_DEBUG) return;
  const MiniHeap *first = miniheap_of(leader);
  size_t members_live = 0;
  for (uint32_t p = first->group_next; p != leader; p = miniheap_of(p)->group_next) {
    const MiniHeap *mh = miniheap_of(p);
    check_debug(mh->leader == leader && mh->bin == BIN_NONE && mh->size_class == first->size_class);
    check_debug(mh->frame == first->frame && mh->frame != 0);
    for (size_t w = 0; w < bitmap_words(slots_of(p)); w++)
      check_debug((bitmap_of(p)[w] & ~bitmap_of(leader)[w]) == 0);
    members_live += mh->live;
  }
  check_debug(members_live <= first->live);
}
