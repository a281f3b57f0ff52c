/* Wrappers of the initialisers of pthread objects and semaphores that processes may share. Their futexes
 * are not private: the kernel knows them by what their page is mapped to, so that page must stay. */
#include <pthread.h>
#include <semaphore.h>

#include "interpose.h"
#include "pin.h"

/* Pins the object if its attribute says that processes share it. */
#define PIN_IF_SHARED(object, attribute, getpshared)                        \
  do {                                                                      \
    int shared_ = PTHREAD_PROCESS_PRIVATE;                                  \
    if ((attribute) != NULL) getpshared(attribute, &shared_);               \
    if (shared_ == PTHREAD_PROCESS_SHARED)                                  \
      pin_for_good((const void *)(object), sizeof *(object));               \
  } while (0)

/* libc waits for robust mutexes by shared futexes, whether processes share them or not; the kernel stores into
 * those with inheritance of priority. */
EXPORT int pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a) {
  int robust = PTHREAD_MUTEX_STALLED, protocol = PTHREAD_PRIO_NONE;
  if (a != NULL) pthread_mutexattr_getrobust(a, &robust);
  if (a != NULL) pthread_mutexattr_getprotocol(a, &protocol);
  if (robust == PTHREAD_MUTEX_ROBUST || protocol == PTHREAD_PRIO_INHERIT) pin_for_good(m, sizeof *m);
  PIN_IF_SHARED(m, a, pthread_mutexattr_getpshared);
  return REAL(pthread_mutex_init)(m, a);
}

EXPORT int pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *a) {
  PIN_IF_SHARED(c, a, pthread_condattr_getpshared);
  return REAL(pthread_cond_init)(c, a);
}

EXPORT int pthread_barrier_init(pthread_barrier_t *b, const pthread_barrierattr_t *a, unsigned count) {
  PIN_IF_SHARED(b, a, pthread_barrierattr_getpshared);
  return REAL(pthread_barrier_init)(b, a, count);
}

EXPORT int pthread_rwlock_init(pthread_rwlock_t *l, const pthread_rwlockattr_t *a) {
  PIN_IF_SHARED(l, a, pthread_rwlockattr_getpshared);
  return REAL(pthread_rwlock_init)(l, a);
}

ALSO(__pthread_mutex_init, pthread_mutex_init);
ALSO(__pthread_rwlock_init, pthread_rwlock_init);

EXPORT int sem_init(sem_t *s, int shared, unsigned value) {
  if (shared) pin_for_good(s, sizeof *s);
  return REAL(sem_init)(s, shared, value);
}
