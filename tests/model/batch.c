/* A batch: barrier_open, arena_mesh_move and barrier_close. */
#include "batch.h"

void batch_begin(State *s, Keeper *k, PageSet moving, PageSet joining, uint8_t dest) {
  s->moving = moving;
  s->joining = joining;
  s->guarded = 0;
  s->dest = dest;
  k->at = OPEN;
}

/* A leader's bitmap is the whole frame's: what it copies, its members see too. */
static PageSet copied_from(const State *s) { return s->joining != 0 ? s->joining : s->moving; }

/* The spans that a phase goes through. */
static PageSet spans_of(const State *s, KeeperAt phase) {
  return phase == LOOK ? s->moving : phase == COPY ? copied_from(s) : s->guarded;
}

static KeeperAt first_phase(void) { return model.mutation == COPY_BEFORE_PROTECT ? COPY : LOOK; }

static KeeperAt phase_after(KeeperAt phase) {
  if (phase == MAP) return END;
  if (phase != first_phase()) return MAP;
  return phase == LOOK ? COPY : LOOK;
}

static void enter(const State *s, Keeper *k, KeeperAt phase) {
  k->page = k->slot = 0;
  while (phase != END && (k->page = next_of(spans_of(s, phase), 0)) == 0) phase = phase_after(phase);
  k->at = phase;
}

static void next_span(const State *s, Keeper *k, KeeperAt phase) {
  k->page = next_of(spans_of(s, phase), k->page);
  k->at = phase;
  k->slot = 0;
  if (k->page == 0) enter(s, k, phase_after(phase));
}

static void open_batch(State *s, Keeper *k, Choice choice) {
  if (choice == FAILS) {
    k->at = MOVED;
  } else if (kernel_stores_fail()) {
    batch_number_changes(s);
    k->at = FENCE;
  } else {
    enter(s, k, first_phase());
  }
}

/* membarrier: what threads have in their store buffers, all can see. */
static void fence(State *s, Keeper *k, Choice choice) {
  for (unsigned u = 0; choice == WORKS && model.mutation != NO_FENCE && u < USERS; u++) {
    s->user[u].published |= s->user[u].unflushed;
    s->user[u].unflushed = false;
  }
  if (choice == FAILS && model.mutation != BATCH_GOES_ON_WITHOUT_FENCE)
    k->at = END;
  else
    enter(s, k, first_phase());
}

/* hazard_overlaps */
static void look(State *s, Keeper *k) {
  bool overlaps = false;
  for (unsigned u = 0; u < USERS; u++)
    overlaps |= s->user[u].published && model.scenario->user[u].page == k->page;
  if (overlaps && model.mutation != NO_HAZARD_CHECK)
    next_span(s, k, LOOK);
  else
    k->at = PROTECT;
}

static void protect(State *s, Keeper *k, Choice choice) {
  if (choice == WORKS) s->protected |= set_of(k->page);
  if (choice == WORKS || model.mutation == MAP_UNPROTECTED) s->guarded |= set_of(k->page);
  next_span(s, k, LOOK);
}

/* One slot. Onto frames those of the bitmap go, onto own pages all. */
static void copy(State *s, Keeper *k) {
  uint8_t *to = s->dest == 0 ? s->space[0].own[k->page] : s->file[s->generation][s->dest];
  const unsigned slots = s->dest == 0 ? (1 << SLOTS) - 1 : s->span[k->page].bits;
  while (!(slots >> k->slot & 1)) k->slot++;
  to[k->slot] = memory_load(s, 0, k->page, k->slot);
  k->slot++;
  if (slots >> k->slot == 0) next_span(s, k, COPY);
}

static void map(State *s, Keeper *k, Choice choice) {
  k->at = choice == WORKS ? WAKE : GIVE_UP;
  if (choice == WORKS) {
    memory_map(s, k->page, s->dest);
    s->protected &= (PageSet)~set_of(k->page);
  } else if (model.mutation == MAP_LEAVES_HOLE) {
    s->space[0].map[k->page] = MAP_HOLE;
  }
}

static void let_go_on(State *s, Keeper *k, Mutation without) {
  s->protected &= (PageSet)~set_of(k->page);
  if (model.mutation != without) wake_sleepers(s, k->page);
  next_span(s, k, MAP);
}

/* hazard_end */
static void end(State *s, Keeper *k) {
  k->at = MOVED;
  if (!kernel_stores_fail()) return;
  batch_number_changes(s);
  k->at = END_WAKE;
}

static void end_wake(State *s, Keeper *k) {
  if (model.mutation != NO_FUTEX_WAKE) wake_waiters(s);
  k->at = MOVED;
}

void batch_step(State *s, Keeper *k, Choice choice) {
  switch ((KeeperAt)k->at) {
    case OPEN: open_batch(s, k, choice); break;
    case FENCE: fence(s, k, choice); break;
    case LOOK: look(s, k); break;
    case PROTECT: protect(s, k, choice); break;
    case COPY: copy(s, k); break;
    case MAP: map(s, k, choice); break;
    case WAKE: let_go_on(s, k, NO_WAKE); break;
    case GIVE_UP: let_go_on(s, k, NO_WAKE_ON_GIVE_UP); break;
    case END: end(s, k); break;
    default: end_wake(s, k); break;
  }
}
