/* What must hold. */
#include "model.h"

/* In every state: whoever loads from a slot gets what was stored there last, in either process. */
static void check_memory(const State *s) {
  for (unsigned space = 0; space <= (s->child != 0); space++)
    for (Page p = 1; p <= SPANS; p++)
      for (unsigned i = 0; i < SLOTS; i++) {
        const uint8_t last = s->space[space].last[p][i];
        if (last != NOT_ITS_OWN && last != NOT_YET && memory_load(s, space, p, i) != last)
          broken(space == 0 ? "a store was lost" : "the child does not have the heap as at the fork");
      }
}

/* In every state: a frame that a span is mapped onto is somebody's, so it is not punched, nor made again. */
static void check_frames(const State *s) {
  for (Page p = 1; p <= SPANS; p++) {
    const uint8_t map = s->space[0].map[p];
    if (map & MAP_SHARED && (map >> MAP_GENERATION & 1) == s->generation && !(s->busy & set_of(map & MAP_FRAME)))
      broken("a frame was released that a span is mapped onto");
  }
}

static uint8_t slots_of_program(const State *s, Page page) {
  uint8_t bits = 0;
  for (unsigned i = 0; i < SLOTS; i++)
    if (s->space[0].last[page][i] != NOT_ITS_OWN) bits |= (uint8_t)(1 << i);
  return bits;
}

/* A group's bitmaps are disjoint, each has what the program has there, the leader's is their union. */
static void check_group(const State *s, Page leader, PageSet group) {
  uint8_t members = 0, all = slots_of_program(s, leader);
  for (Page p = 0; (p = next_of(group, p)) != 0;) {
    const uint8_t own = slots_of_program(s, p);
    all |= own;
    if (p == leader) continue;
    if (s->span[p].bits != own) broken("a member's bitmap is not what is live there");
    if (members & own) broken("members overlap");
    members |= own;
    if (s->span[p].leader != leader || s->span[p].frame != s->span[leader].frame) broken("a member is astray");
  }
  if (members & slots_of_program(s, leader)) broken("leader and members overlap");
  if (s->span[leader].bits != all) broken("the leader's bitmap is not the union");
}

/* The span is mapped onto what its MiniHeap says: so kernel mappings are what is counted. */
static void check_mapping(const State *s, Page p) {
  const uint8_t map = s->space[0].map[p], frame = s->span[p].frame;
  const uint8_t shared = (uint8_t)(MAP_SHARED | s->generation << MAP_GENERATION | frame);
  if (frame_current(frame) ? map != shared : map & MAP_SHARED) broken("a span is not mapped onto its frame");
  if (frame == 0 && map != 0) broken("a span with no frame is mapped onto one");
}

/* While no keeper is at work. */
static void check_quiet(const State *s) {
  PageSet grouped = 0, framed = 0;
  unsigned members = 0;
  for (Page p = 1; p <= SPANS; p++) {
    if (!(s->used & set_of(p))) {
      if (slots_of_program(s, p) != 0) broken("a span with live slots was freed");
      continue;
    }
    check_mapping(s, p);
    if (frame_current(s->span[p].frame)) framed |= set_of(s->span[p].frame);
    if (s->span[p].leader != p) continue;
    const PageSet group = group_of(s, p);
    check_group(s, p, group);
    grouped |= group;
    for (Page q = p; (q = s->span[q].next) != p;) members++;
  }
  if (grouped != s->used) broken("a span is in no group");
  if (framed != s->busy) broken("a frame is kept that nobody maps, or mapped but not kept");
  if (members != s->members) broken("members are miscounted");
  if (s->protected != 0) broken("a page stays protected");
  if (s->batch) broken("a batch does not end");
}

void check_state(const State *s) {
  check_memory(s);
  check_frames(s);
  if (s->owner == 0) check_quiet(s);
}
