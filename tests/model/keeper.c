/* The keepers: whatever maps spans anew, one at a time under the lock, in the steps that src does it in. */
#include <string.h>

#include "batch.h"

static const char *const names[] = {"IDLE",     "UNLOCK",  "OPEN",   "FENCE",   "LOOK",  "PROTECT",
                                    "COPY",     "MAP",     "WAKE",   "GIVE_UP", "END",   "END_WAKE",
                                    "MOVED",    "SETTLE",  "PUNCH",  "LEAVE",   "LAST",  "SNAPSHOT",
                                    "REPLACE",  "REPAIR",  "PRIVATE", "PART",   "FORK"};
const char *keeper_at(const State *s, unsigned n) { return names[s->keeper[n].at]; }

static const Op *op_of(const State *s, unsigned n) { return &model.scenario->op[n][s->keeper[n].op]; }
bool keeper_done(const State *s, unsigned n) { return s->keeper[n].op == OPS || op_of(s, n)->kind == OP_NONE; }

/* A system call is made there that can fail. */
static bool can_fail(KeeperAt at) {
  return at == OPEN || at == FENCE || at == PROTECT || at == MAP || at == PUNCH || at == LEAVE || at == LAST ||
         at == PRIVATE || at == FORK;
}

static void release_frame(Keeper *k, uint8_t frame) {
  k->frame = frame;
  k->at = PUNCH;
}

/* ---------------------------------------------------------------------------- meshing (mesh_apply.c) */

static void lead(State *s, Keeper *k, Page page) {
  if (!can_be_matched(s, page) || frame_current(s->span[page].frame) || s->busy & set_of(page)) return;
  s->busy |= set_of(page);
  batch_begin(s, k, set_of(page), 0, page);
}

static void join(State *s, Keeper *k, Page into, PageSet wanted) {
  const uint8_t frame = s->span[into].frame;
  uint8_t taken = s->span[into].bits;
  PageSet moving = 0, joining = 0;
  for (Page p = 0; (p = next_of(wanted, p)) != 0;) {
    if (!can_be_matched(s, into) || !frame_current(frame) || !can_be_matched(s, p)) continue;
    if (taken & s->span[p].bits && model.mutation != JOIN_WITHOUT_TAKEN) continue;
    if (group_of(s, p) & s->pinned) continue;
    taken |= s->span[p].bits;
    joining |= set_of(p);
    moving |= group_of(s, p);
    s->old[p] = s->span[p].frame;
  }
  if (moving != 0) batch_begin(s, k, moving, joining, frame);
}

static void settle_next(State *s, Keeper *k) {
  k->page = next_of(s->joining, k->page);
  k->at = k->page != 0 ? SETTLE : UNLOCK;
}

static void let_empty_leave(State *s, Keeper *k) {
  if (s->span[k->page].bits == 0)
    k->at = LEAVE;
  else
    settle_next(s, k);
}

static void settle(State *s, Keeper *k, Page into) {
  const Page rest = group_merge(s, into, k->page);
  if (rest == 0) s->members++;
  if (rest != 0 && model.mutation != RELEASE_WITH_REST)
    settle_next(s, k);
  else if (frame_current(s->old[k->page]))
    release_frame(k, s->old[k->page]);
  else
    let_empty_leave(s, k);
}

/* ------------------------------------------------------------------------------ slots (group_drain.c) */

static void leave_or_end(const State *s, Keeper *k, Page page) {
  const Page leader = s->span[page].leader;
  const uint8_t few = model.mutation == LEAVE_WITH_LIVE_SLOT;
  k->page = page;
  if (page != leader && (s->span[page].bits & (s->span[page].bits - few)) == 0)
    k->at = LEAVE;
  if (k->at == UNLOCK && s->span[leader].bits == 0) {
    k->page = leader;
    k->at = LAST;
  }
}

static void drain(State *s, Keeper *k, Page page, unsigned slot) {
  const uint8_t rest = (uint8_t)~(1u << slot);
  if (s->space[0].last[page][slot] == NOT_ITS_OWN) return;
  s->space[0].last[page][slot] = NOT_ITS_OWN;
  s->span[s->span[page].leader].bits &= rest;
  s->span[page].bits &= rest;
  if (s->span[page].frame != 0)
    leave_or_end(s, k, page);
  else if (s->span[page].bits == 0)
    s->used &= (PageSet)~set_of(page);
}

static void leave(State *s, Keeper *k, Choice choice) {
  const Page page = k->page, leader = s->span[page].leader;
  if (choice == WORKS) memory_fresh(s, page);
  if (choice == WORKS || model.mutation == LEAVE_AFTER_FAILURE) {
    group_leave(s, page);
    s->members--;
    s->used &= (PageSet)~set_of(page);
  }
  if (s->joining != 0) {
    settle_next(s, k);
    return;
  }
  k->page = leader;
  k->at = s->span[leader].bits == 0 ? LAST : UNLOCK;
}

static void end_group(State *s, Keeper *k, Choice choice) {
  const uint8_t frame = s->span[k->page].frame;
  const bool members = s->span[k->page].next != k->page;
  k->at = UNLOCK;
  if (members && model.mutation != RELEASE_WITH_MEMBERS) return;
  if (choice == FAILS) return;
  memory_fresh(s, k->page);
  s->used &= (PageSet)~set_of(k->page);
  if (frame_current(frame)) release_frame(k, frame);
}

/* A refill takes slots of leaders alone; the threads that wait for one go on. */
static void allocate(State *s, Page page, unsigned slot) {
  if (!(s->used & set_of(page)) || s->span[page].leader != page || s->span[page].bits >> slot & 1) return;
  s->span[page].bits |= (uint8_t)(1u << slot);
  s->space[0].last[page][slot] = NOT_YET;
}

/* ------------------------------------------------------------------- copies (pin.c, arena_mesh_fork) */

static void move_out(State *s, Keeper *k, Page page) {
  s->old[page] = s->span[page].frame;
  batch_begin(s, k, set_of(page), 0, 0);
  k->page = page;
  k->slot = 0;
  if (model.mutation == COPY_WITHOUT_BARRIER) k->at = SNAPSHOT;
}

static void pin(State *s, Keeper *k, Page page) {
  s->pinned |= set_of(page);
  if (frame_current(s->span[page].frame)) move_out(s, k, page);
}

/* replace_and_repair where there is no barrier: what was stored between copy and replacement is stored again. A
 * fork cannot do without; that something may be lost there shows COPY_WITHOUT_BARRIER, and otherwise it
 * is one step. */
static void replace_unguarded(State *s, Keeper *k) {
  uint8_t *own = s->space[0].own[k->page];
  const uint8_t *frame = s->file[s->generation][s->old[k->page]];
  const bool at_once = model.mutation != COPY_WITHOUT_BARRIER;
  if (at_once || k->at == SNAPSHOT)
    for (unsigned i = 0; i < SLOTS; i++) s->before[i] = own[i] = memory_load(s, 0, k->page, i);
  if (at_once || k->at == REPLACE) memory_map(s, k->page, 0);
  if (at_once || k->at == REPAIR)
    for (unsigned i = 0; i < SLOTS; i++)
      if (frame[i] != s->before[i] && own[i] == s->before[i]) own[i] = frame[i];
  k->at = at_once || k->at == REPAIR ? MOVED : k->at == SNAPSHOT ? REPLACE : REPAIR;
}

static void taken_out(State *s, Keeper *k, Page page) {
  if (s->span[page].frame != 0) return; /* it stays, but will not be moved any more */
  if (group_split(s, page) == 0)
    release_frame(k, s->old[page]);
  else
    s->members--;
}

static void private_next(const State *s, Keeper *k) {
  do k->page++;
  while (k->page <= SPANS && !((s->used & set_of(k->page)) && frame_current(s->span[k->page].frame)));
  k->at = k->page <= SPANS ? PRIVATE : PART;
  if (model.mutation == FORK_SHARED) k->at = FORK;
}

static void make_private(State *s, Keeper *k, bool file_gone, Choice choice) {
  const Page page = k->page;
  if (file_gone || choice == FAILS) {
    move_out(s, k, page);
    return;
  }
  s->space[0].map[page] = (uint8_t)(MAP_PRIVATE | (s->space[0].map[page] & ~MAP_SHARED));
  s->span[page].frame |= STALE;
  private_next(s, k);
}

static void moved_private(State *s, Keeper *k, Page page) {
  if (s->span[page].frame != 0) {
    k->at = SNAPSHOT;
    return;
  }
  s->span[page].frame = s->old[page] | STALE;
  k->page = page;
  private_next(s, k);
}

static void part(State *s) {
  if (model.mutation != FORK_KEEPS_FILE) s->generation ^= 1;
  s->busy = 0;
  s->members = 0;
  for (Page p = 1; p <= SPANS; p++)
    if (s->used & set_of(p) && s->span[p].leader == p) group_dissolve(s, p);
}

/* ---------------------------------------------------------------------------------------- the steps */

static void begin(State *s, Keeper *k, const Op *op) {
  k->page = k->slot = 0;
  k->at = UNLOCK;
  s->joining = 0;
  switch (op->kind) {
    case OP_LEAD: lead(s, k, op->page); break;
    case OP_JOIN: join(s, k, op->page, op->arg); break;
    case OP_FREE: drain(s, k, op->page, op->arg); break;
    case OP_ALLOC: allocate(s, op->page, op->arg); break;
    case OP_PIN: pin(s, k, op->page); break;
    case OP_FORK: private_next(s, k); break;
    case OP_NONE: break;
  }
}

static void moved(State *s, Keeper *k, const Op *op) {
  k->page = 0;
  k->at = UNLOCK;
  if (op->kind == OP_JOIN) settle_next(s, k);
  if (op->kind == OP_LEAD && !frame_current(s->span[op->page].frame)) release_frame(k, op->page);
  if (op->kind == OP_PIN) taken_out(s, k, op->page);
  if (op->kind == OP_FORK) {
    k->page = next_of(s->moving, 0);
    moved_private(s, k, k->page);
  }
}

static void punch(State *s, Keeper *k, const Op *op, Choice choice) {
  if (choice == WORKS) memset(s->file[s->generation][k->frame], ZERO, SLOTS);
  s->busy &= (PageSet)~set_of(k->frame);
  k->at = UNLOCK;
  if (op->kind == OP_JOIN) let_empty_leave(s, k);
}

static void unlock(State *s, Keeper *k) {
  /* What the batch leaves behind is nobody's any more: states differ by what matters alone. */
  s->moving = s->joining = s->guarded = s->dest = 0;
  memset(s->old, 0, sizeof s->old);
  for (Page p = 1; p <= SPANS; p++)
    if (s->space[0].map[p] != 0) memset(s->space[0].own[p], ZERO, SLOTS);
  memset(s->before, 0, sizeof s->before);
  s->owner = 0;
  *k = (Keeper){.op = (uint8_t)(k->op + 1), .at = IDLE};
}

/* Nothing that another thread could see before the lock is released. */
static bool is_silent(KeeperAt at) { return at == MOVED || at == SETTLE || at == PART || at == UNLOCK; }

static void step(State *s, Keeper *k, const Op *op, Choice choice) {
  switch ((KeeperAt)k->at) {
    case IDLE: begin(s, k, op); break;
    case MOVED: moved(s, k, op); break;
    case SETTLE: settle(s, k, op->page); break;
    case PUNCH: punch(s, k, op, choice); break;
    case LEAVE: leave(s, k, choice); break;
    case LAST: end_group(s, k, choice); break;
    case SNAPSHOT: case REPLACE: case REPAIR: replace_unguarded(s, k); break;
    case PRIVATE: make_private(s, k, op->arg, choice); break;
    case PART: part(s); k->at = FORK; break;
    case FORK:
      if (choice == WORKS) memory_fork(s);
      k->at = UNLOCK;
      break;
    case UNLOCK: unlock(s, k); break;
    default: batch_step(s, k, choice); break;
  }
}

bool keeper_step(State *s, unsigned n, Choice choice) {
  Keeper *k = &s->keeper[n];
  if (keeper_done(s, n) || (choice == FAILS && !can_fail(k->at))) return false;
  if (k->at == IDLE && s->owner != 0) return false;
  const Op *op = op_of(s, n);
  s->owner = (uint8_t)(n + 1);
  do step(s, k, op, choice);
  while (is_silent(k->at));
  return true;
}
