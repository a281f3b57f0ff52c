/* Breadth first, so that the way to what does not hold is a shortest one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

enum { STATES_MAX = 1 << 22, CHILD = 2 * (KEEPERS + USERS) };

typedef struct Visit {
  State state;
  uint32_t from;
  uint8_t move; /* 2 * thread + choice; CHILD */
} Visit;

static struct {
  Visit *visit;
  uint32_t count, room;
  uint32_t *table; /* index + 1 into visit, by hash */
  uint32_t slots;
} seen;

static void *must(void *memory) {
  if (memory == NULL) {
    fprintf(stderr, "out of memory\n");
    exit(2);
  }
  return memory;
}

static uint64_t hash(const State *s) {
  uint64_t h = 0xcbf29ce484222325u;
  const unsigned char *bytes = (const unsigned char *)s;
  for (size_t i = 0; i < sizeof *s; i++) h = (h ^ bytes[i]) * 0x100000001b3u;
  return h ^ h >> 32;
}

static uint32_t *place_of(const State *s) {
  uint32_t i = (uint32_t)hash(s) & (seen.slots - 1);
  while (seen.table[i] != 0 && memcmp(&seen.visit[seen.table[i] - 1].state, s, sizeof *s) != 0)
    i = (i + 1) & (seen.slots - 1);
  return &seen.table[i];
}

static void grow(void) {
  seen.room = seen.room == 0 ? 1 << 12 : 2 * seen.room;
  seen.slots = 4 * seen.room;
  seen.visit = must(realloc(seen.visit, seen.room * sizeof *seen.visit));
  free(seen.table);
  seen.table = must(calloc(seen.slots, sizeof *seen.table));
  for (uint32_t i = 0; i < seen.count; i++) *place_of(&seen.visit[i].state) = i + 1;
}

static void visit(const State *s, uint32_t from, unsigned move) {
  if (seen.count == seen.room) grow();
  uint32_t *place = place_of(s);
  if (*place != 0) return;
  seen.visit[seen.count] = (Visit){.state = *s, .from = from, .move = (uint8_t)move};
  *place = ++seen.count;
  check_state(s);
}

static bool step(State *s, unsigned move) {
  const unsigned thread = move / 2;
  if (move == CHILD) return child_step(s);
  return thread < KEEPERS ? keeper_step(s, thread, (Choice)(move % 2))
                          : user_step(s, thread - KEEPERS, (UserChoice)(move % 2));
}

static bool all_done(const State *s) {
  bool done = true;
  for (unsigned n = 0; n < KEEPERS; n++) done &= keeper_done(s, n);
  for (unsigned u = 0; u < USERS; u++) done &= user_done(s, u);
  return done;
}

static void expand(uint32_t from) {
  const State before = seen.visit[from].state;
  bool any = false;
  for (unsigned move = 0; move <= CHILD && model.broken == NULL; move++) {
    State s = before;
    if (!step(&s, move)) continue;
    any = true;
    visit(&s, from, move);
  }
  if (!any && !all_done(&before)) broken("somebody waits for ever");
}

static void tell_way(uint32_t to) {
  const Visit *v = &seen.visit[to], *before = &seen.visit[v->from];
  if (to == 0) return;
  tell_way(v->from);
  const unsigned thread = v->move / 2;
  if (v->move == CHILD)
    printf("    child stores\n");
  else if (thread < KEEPERS)
    printf("    keeper %u, page %u: %s%s\n", thread, before->state.keeper[thread].page,
           keeper_at(&before->state, thread), v->move % 2 == FAILS ? " fails" : "");
  else
    printf("    user %u: %s\n", thread - KEEPERS,
           v->move % 2 == FLUSHES ? "flush" : user_at(&before->state, thread - KEEPERS));
}

unsigned search(const State *first, bool tell) {
  model.broken = NULL;
  seen.count = 0;
  if (seen.table != NULL) memset(seen.table, 0, seen.slots * sizeof *seen.table);
  visit(first, 0, 0);
  for (uint32_t i = 0; i < seen.count && model.broken == NULL; i++) {
    if (seen.count > STATES_MAX) broken("more states than expected");
    expand(i);
  }
  if (tell && model.broken != NULL) tell_way(seen.count - 1);
  return seen.count;
}
