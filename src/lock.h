/* Ranked locks on a futex.
 *
 * A thread takes locks in rising rank only; debug builds check it. fork takes every lock but the last in the same
 * order (see lock_table in fork.c). No lock is held across a call into the program. */
#ifndef MESH_LOCK_H
#define MESH_LOCK_H

#include "atomic.h"
#include "config.h"

/* The order in which locks nest, outermost first. */
typedef enum LockRank {
  RANK_HEAPS = 1,       /* the registry of thread heaps */
  RANK_MESH = 2,        /* meshing passes: one at a time */
  RANK_CLASS = 3,       /* RANK_CLASS + c: lists and bitmaps of size class c */
  RANK_DEPOT = RANK_CLASS + 64,            /* RANK_DEPOT + s: the shelves of shard s */
  RANK_ARENA = RANK_DEPOT + THREAD_SHARDS, /* page runs, page states */
  RANK_META,    /* the metadata allocator */
  RANK_HANDLER, /* the SIGSEGV handler, ours during a batch */
  RANK_COUNT,
} LockRank;

typedef struct Lock {
  _Atomic uint32_t word;  /* (~) 0 free, 1 held, 2 held and somebody waits */
  uint32_t rank;          /* (C) */
  _Atomic uint64_t waits; /* (~) times a thread had to sleep, for the statistics */
} Lock;

#define LOCK_INIT(r) {.word = 0, .rank = (r), .waits = 0}

void lock_wait(Lock *lock);
void lock_wake(Lock *lock);
/* Debug builds: the calling thread's record of what it holds. The check comes before the wait, so that a
 * thread that waits for itself is told. */
void lock_check_rank(const Lock *lock);
void lock_note_taken(const Lock *lock);
void lock_note_released(const Lock *lock);

/* Somebody had to sleep for a lock that the calling thread held, since the thread last set this to false. A lock goes to
 * whoever comes first: who takes it again and again has to leave the other time to wake up. */
extern _Thread_local bool lock_was_wanted __attribute__((tls_model("initial-exec")));

/* Locks that the calling thread has or is about to have, for a handler that interrupted it. */
extern _Thread_local uint32_t locks_held __attribute__((tls_model("initial-exec")));
static inline void lock_count(uint32_t more) {
  atomic_signal_fence(memory_order_seq_cst);
  locks_held += more;
  atomic_signal_fence(memory_order_seq_cst);
}

/* Acquire pairs with the release in lock_release. */
static inline bool lock_try(Lock *lock) {
  uint32_t expected = 0;
  lock_count(1);
  if (!cas_acquire(&lock->word, &expected, 1)) {
    lock_count(-1u);
    return false;
  }
  if (MESH_DEBUG) lock_note_taken(lock);
  return true;
}

static inline void lock_acquire(Lock *lock) {
  uint32_t expected = 0;
  if (MESH_DEBUG) lock_check_rank(lock);
  lock_count(1);
  if (!cas_acquire(&lock->word, &expected, 1)) lock_wait(lock);
  if (MESH_DEBUG) lock_note_taken(lock);
}

static inline void lock_release(Lock *lock) {
  if (MESH_DEBUG) lock_note_released(lock);
  if (exchange_release(&lock->word, 0) == 2) lock_wake(lock);
  lock_count(-1u);
}

/* In the child of a fork, whose other threads are gone: the caller holds the lock. */
void lock_reset(Lock *lock);
/* There too: the caller does not hold it, and whoever did is gone. */
static inline void lock_forget(Lock *lock) {
  if (load_relaxed(&lock->word) != 0) store_relaxed(&lock->word, 0);
}

#endif
