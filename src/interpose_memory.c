/* Wrappers around locked memory. The lock is on the mapping, and meshing changes that: an object in locked
 * memory stays where it is. Where all memory is locked, all that is mapped becomes resident, which the window, a
 * terabyte of holes, must not: meshing ends. */
#include <errno.h>
#include <sys/mman.h>

#include "arena_mesh.h"
#include "fork.h"
#include "init.h"
#include "interpose.h"
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

/* Parts the groups, as before a fork: that gives up the window. */
static bool stop_meshing(void) {
  if (!load_acquire(&init_done)) { /* acquire: init_slow's release */
    arena_mesh_allow(false);
    return true;
  }
  if (!fork_possible() || !fork_prepare()) return false;
  arena_mesh_unmap_old_window(SIZE_MAX);
  arena_mesh_allow(false);
  fork_parent();
  return true;
}

EXPORT int mlockall(int flags) {
  if (!stop_meshing()) {
    errno = ENOMEM;
    return -1;
  }
  return REAL(mlockall)(flags);
}

EXPORT int munlockall(void) {
  int result = REAL(munlockall)();
  if (result == 0) arena_mesh_allow(true);
  return result;
}
