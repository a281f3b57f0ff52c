#include "fork.h"

#include <pthread.h>

#include "arena_mesh.h"
#include "background.h"
#include "global_heap.h"
#include "hazard.h"
#include "init.h"
#include "mesh_pass.h"
#include "mesh_renewal.h"
#include "meta.h"
#include "options.h"
#include "os.h"
#include "page_run.h"
#include "segv.h"
#include "thread_local_heap.h"

enum { CLASSES_BEHIND = 2 + CLASS_END, DEPOT_BEHIND = CLASSES_BEHIND + THREAD_SHARDS, LOCK_COUNT = DEPOT_BEHIND + 2 };

/* The i-th lock in rank order. */
static Lock *lock_table(unsigned i) {
  if (i == 0) return thread_heaps_lock();
  if (i == 1) return mesh_lock();
  if (i < CLASSES_BEHIND) return &class_heaps[i - 2].lock;
  if (i < DEPOT_BEHIND) return depot_lock(i - CLASSES_BEHIND);
  return i == DEPOT_BEHIND ? &arena.lock : meta_lock();
}

static bool heap_exists(void) { return load_acquire(&init_done); } /* acquire: init_slow's release */

bool fork_possible(void) { return locks_held > 0 || !heap_exists() || arena_mesh_can_fork(); }

static _Atomic bool company; /* (~) somebody may share this memory of whom libc does not know */

void fork_not_alone(void) { store_relaxed(&company, true); }

/* Where there is no other thread, no lock is taken: each would be a store to memory that the child shares, which the
 * kernel copies for the one and the other. But the calling thread counts as holding one. */
static bool locked; /* (all locks, or alone) they are held */

bool fork_prepare(void) {
  if (locks_held > 0 || !heap_exists()) return false;
  const bool alone = os_single_threaded() && !load_relaxed(&company);
  lock_count(1);
  for (unsigned i = 0; i < LOCK_COUNT && !alone; i++) lock_acquire(lock_table(i));
  if (locked != !alone) locked = !alone;
  mesh_pass_fork();
  return true;
}

void fork_parent(void) {
  for (unsigned i = LOCK_COUNT; i-- > 0 && locked;) lock_release(lock_table(i));
  lock_count(-1u);
}

void fork_child(void) {
  const int parent = arena.process;
  arena.process = os_process();
  thread_heaps_forget_others();
  arena_mesh_fork_child();
  mesh_renewal_in_child(parent);
  hazard_forget_others();
  segv_fork_child();
  page_runs_fork_child();
  for (unsigned i = LOCK_COUNT; i-- > 0 && locked;) lock_reset(lock_table(i));
  lock_count(-1u);
  if (options.background) options.background = false; /* without a thread of ours, meshing is the program's */
}

/* A signal handler may fork between the handlers of the fork that it interrupted. */
static _Thread_local unsigned depth; /* (T) */
static _Thread_local bool prepared;  /* (T) for the outermost */
static _Thread_local bool streams;   /* (T) it holds the lock of libc's streams */

static void before(void) {
  if (depth++ > 0) return;
  streams = !os_single_threaded();
  if (streams) os_streams_lock();
  prepared = fork_prepare();
}

static void after_in_parent(void) {
  if (--depth > 0) return;
  if (prepared) fork_parent();
  if (streams) os_streams_unlock();
}

/* A thread can be made again where libc knows of the fork: elsewhere its locks may be those of threads that are gone. */
static void after_in_child(void) {
  if (--depth > 0) return;
  if (streams) os_streams_reset();
  if (!prepared) return;
  const bool background = options.background;
  fork_child();
  if (!background) return;
  options.background = true;
  background_start();
}

void fork_handlers_install(void) {
  static _Atomic bool installed;
  if (!atomic_exchange_explicit(&installed, true, memory_order_relaxed))
    pthread_atfork(before, after_in_parent, after_in_child);
}
