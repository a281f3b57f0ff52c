/* The group bookkeeping: the state's spans are put where src/mesh_group.c looks for them, and taken back. */
#include "mesh_group.h"
#include "model.h"

static MiniHeap table[SPANS + 1];

static void put(const State *s) {
  arena.miniheaps = table + SPANS; /* they lie downwards */
  size_classes[CLASS_FIRST].slots = SLOTS;
  for (Page p = 1; p <= SPANS; p++) {
    const Span *span = &s->span[p];
    MiniHeap *mh = miniheap_of(p);
    *mh = (MiniHeap){.frame = (uint32_t)(span->frame & ~STALE) | (span->frame & STALE ? FRAME_STALE : 0),
                     .bin = BIN_NONE, .size_class = CLASS_FIRST, .group_next = span->next, .leader = span->leader,
                     .word = span->bits};
    mh->live = (uint16_t)popcount64(span->bits);
  }
}

static void take(State *s) {
  for (Page p = 1; p <= SPANS; p++) {
    const MiniHeap *mh = miniheap_of(p);
    Span *span = &s->span[p];
    *span = (Span){.bits = (uint8_t)mh->word, .frame = span->frame, .leader = (Page)mh->leader,
                   .next = (Page)mh->group_next};
    if (mh->live != popcount64(span->bits)) broken("live is not the number of bits");
  }
}

bool frame_current(uint8_t frame) { return frame != 0 && !(frame & STALE); }

PageSet group_of(const State *s, Page leader) {
  PageSet set = set_of(leader);
  for (Page p = s->span[leader].next; p != leader && !(set & set_of(p)); p = s->span[p].next) set |= set_of(p);
  return set;
}

bool can_be_matched(const State *s, Page page) {
  const Span *span = &s->span[page];
  return (s->used & set_of(page)) && span->leader == page && span->bits != 0 && span->bits != (1 << SLOTS) - 1 &&
         !(s->pinned & set_of(page));
}

Page group_merge(State *s, Page into, Page from) {
  const uint8_t bits = s->span[from].bits;
  if (bits & s->span[into].bits) {
    broken("groups that overlap are merged");
    return 0;
  }
  put(s);
  Page rest = (Page)mesh_group_merge(into, from);
  take(s);
  if (model.mutation == BITS_TWICE) s->span[from].bits = bits;
  return rest;
}

Page group_split(State *s, Page page) {
  put(s);
  Page rest = (Page)mesh_group_split(page);
  take(s);
  return rest;
}

void group_leave(State *s, Page member) {
  if (s->span[member].bits != 0) {
    broken("a member leaves with a live slot");
    return;
  }
  put(s);
  mesh_group_leave(member);
  take(s);
}

void group_dissolve(State *s, Page leader) {
  put(s);
  mesh_group_keep_own_bits(leader);
  take(s);
  const PageSet group = group_of(s, leader);
  for (Page p = 0; (p = next_of(group, p)) != 0;) s->span[p].leader = s->span[p].next = p;
}
