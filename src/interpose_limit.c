/* Wrappers around limits of address space that the program sets itself: the kernel counts what libmesh has reserved, a
 * terabyte, and would refuse the program's own mappings from then on, and its threads. */
#include <sys/resource.h>
#include <sys/types.h>

#include "arena_mesh.h"
#include "class_heap.h"
#include "hazard.h"
#include "init.h"
#include "interpose.h"
#include "os.h"
#include "pin.h"

static void limited(__rlimit_resource_t resource) {
  if (resource != RLIMIT_AS || locks_held > 0) return;
  if (!load_acquire(&init_done) || arena.process != os_process()) return; /* acquire: init_slow's release */
  const size_t limit = os_address_space_left(SIZE_MAX); /* were nothing mapped */
  const size_t most = max_size(limit, load_relaxed(&arena.limit)) >> arena.page_shift;
  lock_acquire(mesh_lock());
  pin_fit_limit((uint32_t)min_size(arena_pages_reserved(), most));
  arena_mesh_fit_limit();
  lock_release(mesh_lock());
}

#define LIMITING_SETRLIMIT(name, type)                            \
  EXPORT int name(__rlimit_resource_t resource, const type *new) { \
    int result = REAL(name)(resource, new);                       \
    if (result == 0) limited(resource);                           \
    return result;                                                \
  }

LIMITING_SETRLIMIT(setrlimit, struct rlimit)
LIMITING_SETRLIMIT(setrlimit64, struct rlimit64)

#define LIMITING_PRLIMIT(name, type)                                                             \
  EXPORT int name(pid_t pid, enum __rlimit_resource resource, const type *new, type *old) {      \
    Published p = hazard_publish(old, sizeof *old);                                              \
    int result = REAL(name)(pid, resource, new, old);                                            \
    hazard_clear(p);                                                                             \
    if (result == 0 && new != NULL && (pid == 0 || pid == os_process())) limited(resource);      \
    return result;                                                                               \
  }

LIMITING_PRLIMIT(prlimit, struct rlimit)
LIMITING_PRLIMIT(prlimit64, struct rlimit64)
