/* The scenarios that the model is searched with, and for each way to get the protocol wrong one in which
 * the search must find it: a check that cannot fail shows nothing. */
#include <stdio.h>
#include <string.h>

#include "model.h"

struct Model model;

/* Pages and slots as sets. */
#define P(page) (1 << (page))
#define S(slot) (1 << (slot))
#define LEAD(page) {OP_LEAD, page, 0}
#define JOIN(into, pages) {OP_JOIN, into, pages}
#define FREE(page, slot) {OP_FREE, page, slot}
#define ALLOC(page, slot) {OP_ALLOC, page, slot}
#define PIN(page) {OP_PIN, page, 0}
#define FORK(file_gone) {OP_FORK, 0, file_gone}

typedef enum ScenarioName { PAIR, BY_KERNEL, THREE, GROUPS, REUSE, DRAINED, TWO_SLOTS, PINNED,
               PINNED_LEADER, FORKED, FORKED_NO_FILE, AGAIN } ScenarioName;

static const Scenario scenarios[] = {
    [PAIR] = {"pair", {0, S(0), S(1), S(2)}, {{1, 0, false}, {2, 1, false}}, {{LEAD(1), JOIN(1, P(2))}}},
    [BY_KERNEL] = {"kernel stores",
                   {0, S(0), S(1), S(2)},
                   {{1, 0, true}, {2, 1, true}, {2, 1, false}},
                   {{LEAD(1), JOIN(1, P(2))}}},
    [THREE] = {"three in a batch",
               {0, S(0), S(1), S(2)},
               {{2, 1, false}, {3, 2, true}},
               {{LEAD(1), JOIN(1, P(2) | P(3))}}},
    [GROUPS] = {"group joins group",
                {0, S(0), S(1), S(2)},
                {{2, 1, false}, {3, 2, true}},
                {{LEAD(2), JOIN(2, P(3)), LEAD(1), JOIN(1, P(2))}}},
    [REUSE] = {"slots come and go",
               {0, S(0), S(1), S(1)},
               {{1, 2, false}},
               {{LEAD(1), JOIN(1, P(2) | P(3)), JOIN(1, P(3)), LEAD(2)},
                {FREE(2, 1), FREE(1, 0), ALLOC(1, 2), FREE(3, 1)}}},
    [DRAINED] = {"drained while joined",
                 {0, S(0), S(1), S(2)},
                 {{3, 2, true}, {2, 0, false}},
                 {{LEAD(1), JOIN(1, P(2)), LEAD(2), JOIN(2, P(3) | P(1)), JOIN(1, P(3))},
                  {ALLOC(2, 0), FREE(2, 1), FREE(1, 0)}}},
    [PINNED] = {"pin",
                {0, S(0), S(1), S(2)},
                {{1, 0, false}, {2, 1, true}},
                {{LEAD(1), JOIN(1, P(2)), JOIN(1, P(3))}, {PIN(2), FREE(3, 2)}}},
    [PINNED_LEADER] = {"pin of a leader",
                       {0, S(0), S(1), S(2)},
                       {{1, 0, false}, {2, 1, true}},
                       {{LEAD(1), JOIN(1, P(2)), JOIN(1, P(3)), LEAD(2), JOIN(2, P(3))}, {PIN(1)}}},
    [FORKED] = {"fork",
                {0, S(0), S(1), 0},
                {{1, 0, false}, {2, 1, true}},
                {{LEAD(1), JOIN(1, P(2))}, {FORK(false)}}},
    [FORKED_NO_FILE] = {"fork, memfd gone",
                        {0, S(0), S(1), 0},
                        {{1, 0, false}, {2, 1, true}},
                        {{LEAD(1), JOIN(1, P(2)), FORK(true)}}},
    [AGAIN] = {"fork, then mesh again",
               {0, S(0), S(1), S(2)},
               {{1, 0, false}},
               {{LEAD(1), JOIN(1, P(2)), FORK(false), LEAD(1), JOIN(1, P(2) | P(3))}, {FREE(2, 1)}}},
    [TWO_SLOTS] = {"two slots in a member",
                   {0, S(0), S(1) | S(2), 0},
                   {{2, 1, false}},
                   {{LEAD(1), JOIN(1, P(2))}, {FREE(2, 2), FREE(1, 0)}}},
};
enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

static const struct Wrong {
  Mutation mutation;
  const char *name;
  ScenarioName scenario;
  BarrierKind kind;
} wrongs[] = {
    {COPY_BEFORE_PROTECT, "copy before protect", PAIR, BARRIER_UFFD},
    {MAP_UNPROTECTED, "map what could not be protected", PAIR, BARRIER_UFFD_USER},
    {NO_WAKE, "no wake", PAIR, BARRIER_UFFD},
    {NO_WAKE_ON_GIVE_UP, "no wake on giving up", PAIR, BARRIER_UFFD_USER},
    {NO_FUTEX_WAKE, "no futex wake at the end of a batch", PAIR, BARRIER_MPROTECT},
    {HANDLER_DOES_NOT_WAIT, "handler does not wait for the batch", PAIR, BARRIER_MPROTECT},
    {NO_HAZARD_CHECK, "published buffers are not looked at", BY_KERNEL, BARRIER_UFFD_USER},
    {NO_FENCE, "no membarrier", BY_KERNEL, BARRIER_MPROTECT},
    {CLEAR_BEFORE_CALL, "buffer cleared before the call", BY_KERNEL, BARRIER_UFFD_USER},
    {NO_LOOK_AT_BATCH, "call made without a look for a batch", BY_KERNEL, BARRIER_MPROTECT},
    {LOOK_BEFORE_PUBLISH, "look for a batch before publishing", BY_KERNEL, BARRIER_UFFD_USER},
    {BATCH_GOES_ON_WITHOUT_FENCE, "batch goes on when membarrier fails", BY_KERNEL, BARRIER_MPROTECT},
    {MAP_LEAVES_HOLE, "failed mapping leaves a hole", PAIR, BARRIER_UFFD},
    {RELEASE_WITH_REST, "frame released though some stayed", GROUPS, BARRIER_UFFD},
    {RELEASE_WITH_MEMBERS, "frame released before members left", REUSE, BARRIER_UFFD},
    {LEAVE_WITH_LIVE_SLOT, "member leaves with a live slot", TWO_SLOTS, BARRIER_UFFD},
    {LEAVE_AFTER_FAILURE, "member leaves though mapping failed", REUSE, BARRIER_UFFD},
    {BITS_TWICE, "members' bits kept twice", GROUPS, BARRIER_UFFD},
    {JOIN_WITHOUT_TAKEN, "bits of the batch not looked at", REUSE, BARRIER_UFFD},
    {COPY_WITHOUT_BARRIER, "pin without the barrier", PINNED, BARRIER_UFFD},
    {COPY_WITHOUT_BARRIER, "fork without memfd and barrier", FORKED_NO_FILE, BARRIER_UFFD},
    {FORK_SHARED, "fork with shared frames", FORKED, BARRIER_UFFD},
    {FORK_KEEPS_FILE, "frames made again in the memfd of before a fork", AGAIN, BARRIER_UFFD},
};
enum { WRONGS = sizeof wrongs / sizeof *wrongs };

static const char *kind_name(BarrierKind kind) {
  return kind == BARRIER_UFFD ? "uffd" : kind == BARRIER_UFFD_USER ? "uffd-user" : "mprotect";
}

static unsigned run(ScenarioName scenario, BarrierKind kind, Mutation mutation, bool tell) {
  State s;
  memset(&s, 0, sizeof s);
  model = (struct Model){.scenario = &scenarios[scenario], .kind = kind, .mutation = mutation};
  for (Page p = 1; p <= SPANS; p++) {
    const uint8_t live = scenarios[scenario].live[p];
    s.span[p] = (Span){.bits = live, .leader = p, .next = p};
    if (live != 0) s.used |= set_of(p);
    for (unsigned i = 0; i < SLOTS; i++)
      if (live >> i & 1) s.space[0].own[p][i] = s.space[0].last[p][i] = INITIAL;
  }
  return search(&s, tell);
}

static bool holds(ScenarioName scenario, BarrierKind kind) {
  unsigned states = run(scenario, kind, AS_IT_IS, true);
  printf("%-24s %-9s %8u states  %s\n", scenarios[scenario].name, kind_name(kind), states,
         model.broken == NULL ? "all hold" : model.broken);
  return model.broken == NULL;
}

static bool is_found(const struct Wrong *w) {
  unsigned states = run(w->scenario, w->kind, w->mutation, false);
  printf("%-48s %-9s %8u states  %s\n", w->name, kind_name(w->kind), states,
         model.broken == NULL ? "NOT FOUND" : model.broken);
  return model.broken != NULL;
}

int main(void) {
  bool ok = true;
  for (unsigned i = 0; i < SCENARIOS; i++)
    for (BarrierKind kind = BARRIER_UFFD; kind <= BARRIER_MPROTECT; kind++) ok &= holds((ScenarioName)i, kind);
  for (unsigned i = 0; i < WRONGS; i++) ok &= is_found(&wrongs[i]);
  return ok ? 0 : 1;
}
