/* futex: threads that wait on words in heap objects through syscall(), without FUTEX_PRIVATE_FLAG, as libstdc++'s
   futures do. shared: pthread objects and semaphores for several processes, and robust mutexes, in heap objects. A wake
   that misses its waiter shows as a time-out. */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sparse.h"
#include "stress.h"

enum { WORDS = 100, ROUND = 60, TIMEOUT_SECONDS = 10 };

struct word_round {
  struct dice dice; /* the waker's */
  _Atomic uint32_t *word[WORDS];
  atomic_int turn; /* the word that is waited for */
};

static void *wake_each(void *argument) {
  struct word_round *r = argument;
  for (int i = 0; i < ROUND; i++) {
    while (r->turn <= i) usleep(10);
    pause_up_to(&r->dice, 3000); /* in which the waiter falls asleep and the page is meshed */
    atomic_store(r->word[i], 1);
    syscall(SYS_futex, r->word[i], FUTEX_WAKE, 1, NULL, NULL, 0);
  }
  return NULL;
}

void futex_part(struct worker *w) {
  while (running()) {
    struct word_round r = {.dice = {dice_next(&w->dice)}};
    struct sparse s = sparse_new(WORDS, sparse_size(&w->dice, 64), &w->dice);
    for (int i = 0; i < WORDS; i++) {
      r.word[i] = s.object[i];
      atomic_store(r.word[i], 0);
    }
    pthread_t waker;
    must(pthread_create(&waker, NULL, wake_each, &r) == 0);
    for (int i = 0; i < ROUND; i++) {
      const struct timespec limit = {TIMEOUT_SECONDS, 0};
      r.turn = i + 1;
      while (atomic_load(r.word[i]) == 0) {
        long n = syscall(SYS_futex, r.word[i], FUTEX_WAIT, 0, &limit, NULL, 0);
        if (n == 0 || errno == EAGAIN || errno == EINTR) continue;
        fail("FUTEX_WAIT on %p: errno %d (%s), and the word is %u", (void *)r.word[i], errno, strerror(errno),
             *r.word[i]);
      }
      did_one(w);
    }
    pthread_join(waker, NULL);
    sparse_free(&s);
  }
}

/* ------------------------------------------------------------------------------------------ shared */

struct shared_round {
  struct dice dice; /* the other thread's */
  pthread_mutex_t *mutex, *robust;
  pthread_cond_t *cond;
  sem_t *here, *there;
  pthread_barrier_t *barrier;
  _Atomic int *turn; /* under the mutex; even: the first thread's */
  atomic_int holds;
};

static struct timespec in_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_sec += TIMEOUT_SECONDS;
  return t;
}

static void no_error(const char *call, int error, const void *object) {
  if (error != 0) fail("%s on %p: %s", call, object, strerror(error));
}

static void take_turns(struct shared_round *r, int parity) {
  const struct timespec limit = in_time();
  no_error("pthread_mutex_timedlock", pthread_mutex_timedlock(r->mutex, &limit), r->mutex);
  while (*r->turn % 2 != parity)
    no_error("pthread_cond_timedwait", pthread_cond_timedwait(r->cond, r->mutex, &limit), r->cond);
  pause_up_to(&r->dice, 1000);
  (*r->turn)++;
  pthread_cond_broadcast(r->cond);
  pthread_mutex_unlock(r->mutex);
}

static void semaphore(sem_t *mine, sem_t *other, bool first) {
  const struct timespec limit = in_time();
  int error = 0;
  if (first) sem_post(other);
  do error = sem_timedwait(mine, &limit) == 0 ? 0 : errno;
  while (error == EINTR);
  no_error("sem_timedwait", error, mine);
  if (!first) {
    usleep(500);
    sem_post(other);
  }
}

static void *second_thread(void *argument) {
  struct shared_round *r = argument;
  for (int i = 0; i < ROUND; i++) {
    take_turns(r, 1);
    semaphore(r->there, r->here, false);
    pthread_barrier_wait(r->barrier);
    while (!r->holds) usleep(10);
    const struct timespec limit = in_time();
    no_error("pthread_mutex_timedlock of a robust mutex", pthread_mutex_timedlock(r->robust, &limit), r->robust);
    r->holds = 0;
    pthread_mutex_unlock(r->robust);
    pthread_barrier_wait(r->barrier);
  }
  return NULL;
}

static void initialise(struct shared_round *r, const struct sparse *s) {
  pthread_mutexattr_t m;
  pthread_condattr_t c;
  pthread_barrierattr_t b;
  pthread_mutexattr_init(&m);
  pthread_mutexattr_setpshared(&m, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(r->mutex = s->object[0], &m);
  pthread_mutexattr_setpshared(&m, PTHREAD_PROCESS_PRIVATE);
  pthread_mutexattr_setrobust(&m, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(r->robust = s->object[1], &m);
  pthread_condattr_init(&c);
  pthread_condattr_setpshared(&c, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(r->cond = s->object[2], &c);
  sem_init(r->here = s->object[3], 1, 0);
  sem_init(r->there = s->object[4], 1, 0);
  pthread_barrierattr_init(&b);
  pthread_barrierattr_setpshared(&b, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init(r->barrier = s->object[5], &b, 2);
  *(r->turn = s->object[6]) = 0;
}

void shared_part(struct worker *w) {
  while (running()) {
    struct shared_round r = {.dice = {dice_next(&w->dice)}};
    struct sparse s = sparse_new(WORDS, sparse_size(&w->dice, 64), &w->dice);
    pthread_t second;
    pause_up_to(&w->dice, 20000); /* they may be in a group already */
    initialise(&r, &s);
    must(pthread_create(&second, NULL, second_thread, &r) == 0);
    for (int i = 0; i < ROUND; i++) {
      take_turns(&r, 0);
      semaphore(r.here, r.there, true);
      pthread_barrier_wait(r.barrier);
      pthread_mutex_lock(r.robust);
      r.holds = 1;
      usleep(2000); /* the other one falls asleep, and the page is meshed */
      pthread_mutex_unlock(r.robust);
      pthread_barrier_wait(r.barrier);
      did_one(w);
    }
    pthread_join(second, NULL);
    pthread_barrier_destroy(r.barrier);
    pthread_cond_destroy(r.cond);
    pthread_mutex_destroy(r.mutex);
    pthread_mutex_destroy(r.robust);
    sem_destroy(r.here);
    sem_destroy(r.there);
    sparse_free(&s);
  }
}
