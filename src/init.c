#include "init.h"

#include "arena_mesh.h"
#include "background.h"
#include "barrier.h"
#include "fork.h"
#include "global_heap.h"
#include "options.h"
#include "thread_local_heap.h"

_Atomic bool init_done;

static Lock init_lock = LOCK_INIT(RANK_HEAPS);

static bool init_locked(void) {
  if (load_relaxed(&init_done)) return false;
  options_read();
  if (!arena_init()) return false;
  class_heaps_init();
  depot_init();
  store_release(&init_done, true);
  return true;
}

bool init_slow(void) {
  lock_acquire(&init_lock);
  bool first = init_locked();
  lock_release(&init_lock);
  if (first) fork_handlers_install(); /* may itself allocate */
  return load_relaxed(&init_done);
}

/* Once libc has its environment, which the first allocation may have come before, and threads. */
__attribute__((constructor)) static void start(void) {
  options_read();
  if (!options.hardened) thread_heaps_make_key(); /* before the program has made its own */
  if (options.stats) arena_mesh_keep_stderr();
  barrier_start();
  background_start();
}
