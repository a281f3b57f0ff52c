/* Wrappers around locked memory. The lock is on the mapping, and meshing changes that: an object in locked
 * memory stays where it is. Where all memory is locked, all that is mapped becomes resident, which the window, a
 * terabyte of holes, must not: meshing ends.
 *
 * The static library has them too. So they make system calls themselves, which is all that libc's do. */
#include "interpose_memory.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#include "arena_mesh.h"
#include "barrier.h"
#include "fork.h"
#include "init.h"
#include "os.h"
#include "os_syscall.h"
#include "pin.h"

/* Weak: a static program may bring its own. */
#define EXPORT __attribute__((visibility("default"), weak))

static int result_of(long result) {
  if (result >= 0) return 0;
  errno = (int)-result;
  return -1;
}

/* mlock2, or mlock, which has no flags. */
static int lock(long number, const void *start, size_t size, unsigned flags) {
  pin_locked(start, size);
  int result = result_of(raw_syscall(number, start, size, flags));
  if (result != 0) unpin_locked(start, size);
  return result;
}

static int unlock(const void *start, size_t size) {
  int result = result_of(raw_syscall(SYS_munlock, start, size));
  if (result == 0) unpin_locked(start, size);
  return result;
}

/* As before a fork: that gives up the window. The descriptor goes too: where memory is mapped anew there are no calls for
 * it any more. */
bool meshing_stop(unsigned reason, bool *first) {
  if (!load_acquire(&init_done)) { /* acquire: init_slow's release */
    *first = arena_mesh_forbid(reason);
    return true;
  }
  if (!fork_possible() || !fork_prepare()) {
    errno = ENOMEM;
    return false;
  }
  arena_mesh_unmap_old_window(SIZE_MAX);
  *first = arena_mesh_forbid(reason);
  barrier_drop();
  fork_parent();
  return true;
}

/* The kernel counts all that is mapped, and so what is reserved, a terabyte, against the limit of who has no privilege.
 * True if there is less of that now. */
static bool fit_lockable(void) {
  if (!load_acquire(&init_done)) return false; /* acquire: init_slow's release */
  const size_t limit = os_lockable_left(SIZE_MAX); /* were nothing mapped */
  if (limit == SIZE_MAX) return false;
  const size_t most = max_size(limit, load_relaxed(&arena.limit)) >> arena.page_shift;
  lock_acquire(mesh_lock());
  const uint32_t pages = (uint32_t)min_size(arena_pages_reserved(), most);
  const bool fits = arena_fit_lockable(pin_excess(pages));
  if (fits) pin_fit_limit(pages);
  lock_release(mesh_lock());
  return fits;
}

static int lock_all(int flags) {
  bool first;
  /* What a child of vfork locks is its parent's, but the descriptors that it would close are its own. */
  if (load_acquire(&init_done) && arena.process != os_process()) return result_of(-ENOMEM); /* acquire: init_slow's */
  if (!meshing_stop(FORBIDDEN_ALL_LOCKED, &first)) return -1;
  long answer = raw_syscall(SYS_mlockall, flags);
  /* Only where what is mapped later counts too: else the heap would be small for nothing. */
  if (answer == -ENOMEM && (flags & MCL_FUTURE) && fit_lockable()) answer = raw_syscall(SYS_mlockall, flags);
  int result = result_of(answer);
  if (result != 0 && first) arena_mesh_allow(FORBIDDEN_ALL_LOCKED);
  if (result == 0) arena_mesh_forbid(FORBIDDEN_ALL_LOCKED); /* still: another thread's call may just have failed */
  return result;
}

static int unlock_all(void) {
  int result = result_of(raw_syscall(SYS_munlockall));
  if (result != 0) return result;
  unpin_all_locked();
  arena_mesh_allow(FORBIDDEN_ALL_LOCKED);
  return 0;
}

/* mlock2 without flags is what kernels have that know no mlock2. */
EXPORT int mlock(const void *start, size_t size) { return lock(SYS_mlock, start, size, 0); }
EXPORT int mlock2(const void *start, size_t size, unsigned flags) {
  return lock(flags == 0 ? SYS_mlock : SYS_mlock2, start, size, flags);
}
EXPORT int munlock(const void *start, size_t size) { return unlock(start, size); }
EXPORT int mlockall(int flags) { return lock_all(flags); }
EXPORT int munlockall(void) { return unlock_all(); }

/* Not by the names above: they may be the program's own, which makes this call. */
bool memory_lock_call(long number, const uintptr_t *a, long *result) {
  if (number == SYS_mlock || number == SYS_mlock2)
    *result = lock(number, (void *)a[0], a[1], number == SYS_mlock2 ? (unsigned)a[2] : 0);
  else if (number == SYS_munlock)
    *result = unlock((void *)a[0], a[1]);
  else if (number == SYS_mlockall)
    *result = lock_all((int)a[0]);
  else if (number == SYS_munlockall)
    *result = unlock_all();
  else
    return false;
  return true;
}
