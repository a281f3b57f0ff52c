/* Wrappers around locked memory. The lock is on the mapping, and meshing changes that: an object in locked
 * memory stays where it is. Where all memory is locked, all that is mapped becomes resident, which the window, a
 * terabyte of holes, must not: meshing ends. */
#include "interpose_memory.h"

#include <errno.h>
#include <sys/mman.h>

#include "arena_mesh.h"
#include "barrier.h"
#include "fork.h"
#include "init.h"
#include "interpose.h"
#include "os.h"
#include "pin.h"

EXPORT int mlock(const void *start, size_t size) {
  pin(start, size);
  int result = REAL(mlock)(start, size);
  if (result != 0) unpin(start, size);
  return result;
}

EXPORT int mlock2(const void *start, size_t size, unsigned flags) {
  pin(start, size);
  int result = REAL(mlock2)(start, size, flags);
  if (result != 0) unpin(start, size);
  return result;
}

EXPORT int munlock(const void *start, size_t size) {
  int result = REAL(munlock)(start, size);
  if (result == 0) unpin(start, size);
  return result;
}

static _Atomic uint32_t reasons; /* (~) why nothing is meshed */

bool meshing_stopped(StopReason why) { return load_relaxed(&reasons) & why; }

/* Parts the groups, as before a fork: that gives up the window. The descriptor goes too: where memory is mapped anew
 * there are no calls for it any more. */
static bool part_groups(void) {
  if (!load_acquire(&init_done)) { /* acquire: init_slow's release */
    arena_mesh_allow(false);
    return true;
  }
  if (!fork_possible() || !fork_prepare()) return false;
  arena_mesh_unmap_old_window(SIZE_MAX);
  arena_mesh_allow(false);
  barrier_drop();
  fork_parent();
  return true;
}

/* In a child of vfork the memory is its parent's, who has no reason. */
static bool in_other_process(void) { return load_acquire(&init_done) && arena.process != os_process(); }

bool meshing_stop(StopReason why) {
  if (meshing_stopped(why) || in_other_process()) return true;
  barrier_needs_segv(); /* asks the kernel, if nobody has yet: that must not come later */
  if (!part_groups()) {
    errno = ENOMEM;
    return false;
  }
  atomic_fetch_or_explicit(&reasons, why, memory_order_relaxed);
  return true;
}

void meshing_go_on(StopReason why) {
  if (in_other_process()) return;
  const uint32_t others = atomic_fetch_and_explicit(&reasons, ~(uint32_t)why, memory_order_relaxed) & ~(uint32_t)why;
  if (others == 0) arena_mesh_allow(true);
}

EXPORT int mlockall(int flags) {
  const bool stopped = meshing_stopped(STOP_LOCKED);
  if (!meshing_stop(STOP_LOCKED)) return -1;
  int result = REAL(mlockall)(flags);
  if (result != 0 && !stopped) meshing_go_on(STOP_LOCKED);
  return result;
}

EXPORT int munlockall(void) {
  int result = REAL(munlockall)();
  if (result == 0) meshing_go_on(STOP_LOCKED);
  return result;
}
