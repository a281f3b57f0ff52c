/* A small model of meshing: three spans of three slots, threads that store to them, and keepers that mesh,
 * drain, pin and fork. search.c visits every state that any order of steps and any failure of system calls
 * can lead to; invariants.c says what must hold in each.
 *
 * A step is what no other thread can come between, or none could tell: one system call, one slot copied, one
 * load or store of a shared word. All that happens to bitmaps and groups happens under one lock here (in src under the mesh
 * lock and the class lock; draining takes the latter alone, and every keeper takes that). Group bookkeeping is
 * not modelled but done by src/mesh_group.c itself. What stands for what in src:
 *
 *   memory.c      page tables, copy on write, what the kernel does
 *   threads.c     STORE: the program's store, and on_segv in segv.c
 *                 PUBLISH .. CLEAR: hazard_publish, the wrapped call, hazard_clear; WAIT: hazard_wait
 *   batch.c       OPEN .. END_WAKE: barrier_open, arena_mesh_move or copy_range, barrier_close
 *   keeper.c      lead, join, settle: add_lead, add_join, settle_lead and settle_join in mesh_apply.c
 *                 drain, LEAVE, LAST: group_drain, group_let_go and group_end in group_drain.c
 *                 pin: take_out in pin.c; SNAPSHOT, REPLACE, REPAIR: replace_and_repair
 *                 PRIVATE, PART, FORK: arena_mesh_fork, dissolve_groups in mesh_pass.c, and fork itself
 *
 * Left out: runs of several spans in one range, leaders that move in the same batch as those who join them
 * (unit.mesh_failures has each of their system calls fail), fillers, span_trim (it leaves spans with a frame
 * alone), frames of several pages, and what the kernel never refuses: to take protection away, to wake. */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"

enum { SPANS = 3, SLOTS = 3, USERS = 3, KEEPERS = 2, OPS = 5 };

/* Spans are known by page number, from 1. Sets of them have bit 1 << page. */
typedef uint8_t Page;
typedef uint8_t PageSet;

/* What a slot holds: 0 is a page as the kernel makes it. */
enum { ZERO, INITIAL, FIRST_VALUE, CHILD_VALUE = 7 };
/* What the program stored last: nothing, because the slot is not its own, or not yet anything. */
enum { NOT_ITS_OWN = 0, NOT_YET = 255 };

/* What a span is mapped onto: 0 for its own page, otherwise a frame with these. */
enum { MAP_SHARED = 0x10, MAP_PRIVATE = 0x20, MAP_HOLE = 0x40, MAP_GENERATION = 2 /* shift */, MAP_FRAME = 3 };
/* In `frame` of a span: FRAME_STALE of src. */
enum { STALE = 0x80 };

typedef struct Space { /* a process's memory */
  uint8_t map[SPANS + 1];
  uint8_t own[SPANS + 1][SLOTS];
  uint8_t last[SPANS + 1][SLOTS]; /* what the program stored last */
} Space;

typedef struct Span { /* as MiniHeap */
  uint8_t bits, frame;
  Page leader, next;
} Span;

typedef struct User { /* a thread of the program that stores to a slot, or has the kernel do it */
  uint8_t at, round;
  bool faulted;               /* outside a batch, and none has begun since */
  bool seen;                  /* the batch that it waits for is the one that it saw */
  bool published, unflushed;  /* its hazard, as others see it; in its own store buffer still */
} User;

typedef struct Keeper {
  uint8_t op, at;
  Page page;
  uint8_t slot, frame;
} Keeper;

typedef struct State {
  Space space[2];                       /* parent and child */
  uint8_t file[2][SPANS + 1][SLOTS];    /* frames, of the memfd before a fork and of the one after */
  Span span[SPANS + 1];
  PageSet used, pinned;                 /* spans that are any; pinned ones */
  PageSet busy;                         /* frames that are somebody's */
  PageSet protected;                    /* pages on which stores wait */
  PageSet moving, joining, guarded;     /* of the batch under way: spans, leaders, those protected */
  uint8_t dest, old[SPANS + 1];         /* its frame, or 0 for own pages; leaders' frames before */
  uint8_t before[SLOTS];                /* replace_and_repair */
  uint8_t owner;                        /* of the lock: keeper + 1 */
  bool batch;                           /* one is under way: its number is odd */
  uint8_t generation, members;          /* of the memfd; h->members */
  uint8_t child;                        /* 0 none, then how many stores it has made, plus 1 */
  User user[USERS];
  Keeper keeper[KEEPERS];
} State;
_Static_assert(_Alignof(State) == 1, "no padding: states are compared and hashed as bytes");

typedef enum OpKind { OP_NONE, OP_LEAD, OP_JOIN, OP_FREE, OP_ALLOC, OP_PIN, OP_FORK } OpKind;

typedef struct Op {
  OpKind kind;
  Page page;
  uint8_t arg; /* JOIN: the set that joins; FREE, ALLOC: slot; FORK: the memfd's descriptor is gone */
} Op;

typedef struct Scenario {
  const char *name;
  uint8_t live[SPANS + 1];
  struct {
    Page page; /* 0: no such thread */
    uint8_t slot;
    bool by_kernel;
  } user[USERS];
  Op op[KEEPERS][OPS];
} Scenario;

/* Ways to get it wrong, each of which the search must find. */
typedef enum Mutation {
  AS_IT_IS,
  COPY_BEFORE_PROTECT,
  MAP_UNPROTECTED,
  NO_WAKE,
  NO_WAKE_ON_GIVE_UP,
  NO_FUTEX_WAKE,
  HANDLER_DOES_NOT_WAIT,
  NO_HAZARD_CHECK,
  NO_FENCE,
  CLEAR_BEFORE_CALL,
  NO_LOOK_AT_BATCH,
  LOOK_BEFORE_PUBLISH,
  BATCH_GOES_ON_WITHOUT_FENCE,
  MAP_LEAVES_HOLE,
  RELEASE_WITH_REST,
  RELEASE_WITH_MEMBERS,
  LEAVE_WITH_LIVE_SLOT,
  LEAVE_AFTER_FAILURE,
  BITS_TWICE,
  JOIN_WITHOUT_TAKEN,
  COPY_WITHOUT_BARRIER,
  FORK_SHARED,
  FORK_KEEPS_FILE,
  MUTATIONS
} Mutation;

extern struct Model {
  const Scenario *scenario;
  BarrierKind kind;
  Mutation mutation;
  const char *broken; /* what the last step found not to hold */
} model;

static inline bool kernel_stores_fail(void) { return model.kind != BARRIER_UFFD; }
static inline void broken(const char *what) {
  if (model.broken == NULL) model.broken = what;
}
static inline PageSet set_of(Page page) { return (PageSet)(1u << page); }
/* The next of the set after `page`; 0 if there is none. */
static inline Page next_of(PageSet set, Page page) {
  while (++page <= SPANS)
    if (set & set_of(page)) return page;
  return 0;
}

/* memory.c */
uint8_t memory_load(const State *s, unsigned space, Page page, unsigned slot);
/* To a page that is not protected. */
void memory_store(State *s, unsigned space, Page page, unsigned slot, uint8_t value);
/* A span of the parent onto a frame of the memfd, 0 for its own page; and onto a page as new. */
void memory_map(State *s, Page page, uint8_t frame);
void memory_fresh(State *s, Page page);
void memory_fork(State *s);

/* groups.c: src/mesh_group.c, and what surrounds it. */
bool frame_current(uint8_t frame);
PageSet group_of(const State *s, Page leader);
bool can_be_matched(const State *s, Page page);
Page group_merge(State *s, Page into, Page from);
Page group_split(State *s, Page page);
void group_leave(State *s, Page member);
void group_dissolve(State *s, Page leader);

/* The steps: false if the thread cannot take one. */
typedef enum Choice { WORKS, FAILS } Choice;
bool keeper_step(State *s, unsigned keeper, Choice choice);
bool keeper_done(const State *s, unsigned keeper);
const char *keeper_at(const State *s, unsigned keeper);
typedef enum UserChoice { GOES_ON, FLUSHES } UserChoice;
bool user_step(State *s, unsigned user, UserChoice choice);
bool user_done(const State *s, unsigned user);
const char *user_at(const State *s, unsigned user);
void wake_sleepers(State *s, Page page);
void wake_waiters(State *s);
void batch_number_changes(State *s);
bool child_step(State *s);

/* invariants.c */
void check_state(const State *s);

/* search.c: visits all states. Returns how many there are; model.broken says what does not hold in the
 * last of them, if anything, and `tell` has the way there printed. */
unsigned search(const State *first, bool tell);

#endif
