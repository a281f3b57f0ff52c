/* What the kernel keeps of memory: what each span is mapped onto, and copy on write. */
#include <string.h>

#include "model.h"

static const uint8_t *frame_of(const State *s, uint8_t map) {
  return s->file[map >> MAP_GENERATION & 1][map & MAP_FRAME];
}

uint8_t memory_load(const State *s, unsigned space, Page page, unsigned slot) {
  const uint8_t map = s->space[space].map[page];
  if (map == MAP_HOLE) broken("there is a hole in the heap");
  return map == 0 || map == MAP_HOLE ? s->space[space].own[page][slot] : frame_of(s, map)[slot];
}

void memory_store(State *s, unsigned space, Page page, unsigned slot, uint8_t value) {
  uint8_t *map = &s->space[space].map[page], *own = s->space[space].own[page];
  if (*map & MAP_SHARED) {
    s->file[*map >> MAP_GENERATION & 1][*map & MAP_FRAME][slot] = value;
    return;
  }
  if (*map & MAP_PRIVATE) {
    memcpy(own, frame_of(s, *map), SLOTS);
    *map = 0;
  }
  if (*map == MAP_HOLE) broken("there is a hole in the heap");
  own[slot] = value;
}

void memory_map(State *s, Page page, uint8_t frame) {
  s->space[0].map[page] = frame == 0 ? 0 : (uint8_t)(MAP_SHARED | s->generation << MAP_GENERATION | frame);
  s->span[page].frame = frame;
}

void memory_fresh(State *s, Page page) {
  memory_map(s, page, 0);
  memset(s->space[0].own[page], ZERO, SLOTS);
}

void memory_fork(State *s) {
  s->space[1] = s->space[0];
  s->child = 1;
}
