/* Wrappers of libc's functions after which the heap is stored into at times that no wrapper sees: by the threads that
 * libc makes for asynchronous input and look-ups and for timers, which have blocked SIGSEGV and have the kernel store
 * too, and by devices into the memory of files that were opened for direct input. */
#include "interpose_late.h"

#include <aio.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <time.h>

#include "arena_mesh.h"
#include "barrier.h"
#include "class_heap.h"
#include "hazard.h"
#include "interpose.h"

/* The batch under way was begun without it. Whoever interrupted one cannot wait, nor can a child that got the lock as it
 * was. */
static void wait_for_batch(void) {
  if (locks_held > 0 || arena_mesh_in_unprepared_child()) return;
  lock_acquire(mesh_lock());
  lock_release(mesh_lock());
}

void expect_late_stores(void) {
  real_find_all(); /* these threads are not made by pthread_create's wrapper */
  if (barrier_expect_late_stores()) wait_for_batch();
}

NOINLINE void expect_direct_io(void) {
  if (barrier_expect_direct_io()) wait_for_batch();
}

#define LATE(name, parameters, arguments) \
  EXPORT int name parameters {            \
    expect_late_stores();                 \
    return REAL(name) arguments;          \
  }

LATE(aio_read, (struct aiocb *a), (a))
LATE(aio_read64, (struct aiocb64 *a), (a))
LATE(aio_write, (struct aiocb *a), (a)) /* what became of it is stored too */
LATE(aio_write64, (struct aiocb64 *a), (a))
LATE(aio_fsync, (int op, struct aiocb *a), (op, a))
LATE(aio_fsync64, (int op, struct aiocb64 *a), (op, a))
LATE(lio_listio, (int mode, struct aiocb *const a[], int count, struct sigevent *e), (mode, a, count, e))
LATE(lio_listio64, (int mode, struct aiocb64 *const a[], int count, struct sigevent *e), (mode, a, count, e))
LATE(getaddrinfo_a, (int mode, struct gaicb *a[], int count, struct sigevent *e), (mode, a, count, e))

EXPORT int mq_notify(mqd_t q, const struct sigevent *e) {
  if (e != NULL && e->sigev_notify == SIGEV_THREAD) expect_late_stores();
  return REAL(mq_notify)(q, e);
}

EXPORT int timer_create(clockid_t clock, struct sigevent *e, timer_t *t) {
  if (e != NULL && e->sigev_notify == SIGEV_THREAD) expect_late_stores();
  Published p = hazard_publish(t, sizeof *t);
  int result = REAL(timer_create)(clock, e, t);
  hazard_clear(p);
  return result;
}

/* ---- Files ---- */

/* The mode is passed on as it comes: where there is none, nobody looks at it. */
#define OPEN(name)                                  \
  EXPORT int name(const char *path, int flags, ...) { \
    va_list list;                                   \
    va_start(list, flags);                          \
    mode_t mode = va_arg(list, mode_t);             \
    va_end(list);                                   \
    if (flags & O_DIRECT) expect_direct_io();       \
    return REAL(name)(path, flags, mode);           \
  }
#define OPEN_AT(name)                                        \
  EXPORT int name(int at, const char *path, int flags, ...) { \
    va_list list;                                            \
    va_start(list, flags);                                   \
    mode_t mode = va_arg(list, mode_t);                      \
    va_end(list);                                            \
    if (flags & O_DIRECT) expect_direct_io();                \
    return REAL(name)(at, path, flags, mode);                \
  }

OPEN(open)
OPEN(open64)
OPEN_AT(openat)
OPEN_AT(openat64)

/* What _FORTIFY_SOURCE makes of them where there is no mode. */
#define OPEN_2(name)                             \
  EXPORT int name(const char *path, int flags);  \
  EXPORT int name(const char *path, int flags) { \
    if (flags & O_DIRECT) expect_direct_io();    \
    return REAL(name)(path, flags);              \
  }
#define OPEN_AT_2(name)                                  \
  EXPORT int name(int at, const char *path, int flags);  \
  EXPORT int name(int at, const char *path, int flags) { \
    if (flags & O_DIRECT) expect_direct_io();            \
    return REAL(name)(at, path, flags);                  \
  }

OPEN_2(__open_2)
OPEN_2(__open64_2)
OPEN_AT_2(__openat_2)
OPEN_AT_2(__openat64_2)

ALSO(__open, open);
ALSO(__open64, open64);
