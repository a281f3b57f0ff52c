/* Wrappers that hide our descriptors from a program that comes by their numbers: it cannot mean them, for it never
 * got them from us. A shell asks fcntl whether a number is in use before it redirects it. A userfaultfd closed in the
 * middle of a batch would let writers go on too early. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <unistd.h>

#include "arena_mesh.h"
#include "hazard.h"
#include "interpose.h"
#include "interpose_late.h"
#include "mesh_pass.h"
#include "os.h"

/* As far as the program knows, it is not open. */
static bool hidden(int fd) {
  if (LIKELY(!arena_mesh_owns_fd(fd))) return false;
  errno = EBADF;
  return true;
}

EXPORT int close(int fd) { return hidden(fd) ? -1 : REAL(close)(fd); }

/* Each piece of the range between descriptors of ours. */
static int close_around(unsigned first, unsigned last, int flags) {
  for (;;) {
    unsigned ours = arena_mesh_next_fd(first);
    if (ours > last || ours == UINT_MAX) return REAL(close_range)(first, last, flags);
    if (ours > first && REAL(close_range)(first, ours - 1, flags) != 0) return -1;
    if (ours == last) return 0;
    first = ours + 1;
  }
}

EXPORT int close_range(unsigned first, unsigned last, int flags) {
  if (first > last) return REAL(close_range)(first, last, flags);
  return close_around(first, last, flags);
}

EXPORT void closefrom(int first);
EXPORT void closefrom(int first) {
  if (close_around(first > 0 ? (unsigned)first : 0, UINT_MAX, 0) != 0) REAL(closefrom)(first);
}

/* The program wants the number: ours goes elsewhere, between batches. */
static void make_way(int fd) {
  if (!arena_mesh_owns_fd(fd)) return;
  lock_acquire(mesh_lock());
  arena_mesh_move_fds(fd);
  lock_release(mesh_lock());
}

EXPORT int dup(int old) { return hidden(old) ? -1 : REAL(dup)(old); }

EXPORT int dup2(int old, int new) {
  if (hidden(old)) return -1;
  if (old != new) make_way(new);
  return REAL(dup2)(old, new);
}

EXPORT int dup3(int old, int new, int flags) {
  if (hidden(old)) return -1;
  if (old != new) make_way(new);
  return REAL(dup3)(old, new, flags);
}

/* All that the kernel stores for one of these is a lock. */
#define HIDING_FCNTL(name)                                                          \
  EXPORT int name(int fd, int command, ...) {                                       \
    va_list list;                                                                   \
    va_start(list, command);                                                        \
    void *argument = va_arg(list, void *);                                          \
    va_end(list);                                                                   \
    if (hidden(fd)) return -1;                                                      \
    if (command == F_SETFL && ((uintptr_t)argument & O_DIRECT)) expect_direct_io(); \
    Published p = hazard_publish(argument, sizeof(struct flock));                   \
    int result = REAL(name)(fd, command, argument);                                 \
    hazard_clear(p);                                                                \
    return result;                                                                  \
  }

HIDING_FCNTL(fcntl)
HIDING_FCNTL(fcntl64)

ALSO(__close, close);
ALSO(__dup2, dup2);
ALSO(__fcntl, fcntl);
