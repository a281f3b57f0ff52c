/* Calls that sleep, in which libmesh works: they return what libc's do, when libc's do, and touch no more memory. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

#include "test.h"

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void nothing(int signal) { (void)signal; }

/* Something to give back, so that there is work to be done. */
static void make_work(void) {
  enum { OBJECTS = 20000 };
  static void *objects[OBJECTS];
  for (int i = 0; i < OBJECTS; i++) assert_non_null(objects[i] = malloc(200));
  for (int i = 0; i < OBJECTS; i++) free(objects[i]);
}

/* Until libmesh looks for work again, without a sleep that it would look in. */
static void wait_for_next_look(void) {
  for (const double begin = now(); now() - begin < 0.03;) sched_yield();
}

/* The sets of few descriptors may end before a whole fd_set would. */
static void select_touches_what_the_descriptors_take(void **state) {
  (void)state;
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(pages != MAP_FAILED);
  assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
  fd_set *set = (fd_set *)(pages + page - sizeof(uint64_t));
  for (int i = 0; i < 3; i++) {
    make_work();
    assert_int_equal(select(1, set, NULL, NULL, &(struct timeval){.tv_usec = 50000}), 0);
    assert_int_equal(pselect(1, NULL, set, NULL, &(struct timespec){.tv_nsec = 50000000}, NULL), 0);
  }
  munmap(pages, 2 * page);
}

/* Who sleeps on with what was left comes to an end, however often a signal interrupts. */
static void sleep_counts_down(void **state) {
  (void)state;
  const struct itimerval often = {{0, 300000}, {0, 300000}}, never = {{0, 0}, {0, 0}};
  struct sigaction action = {.sa_handler = nothing}, before;
  assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
  make_work();
  setitimer(ITIMER_REAL, &often, NULL);
  unsigned left = 2, calls = 0;
  for (; left > 0 && calls < 20; calls++) left = sleep(left);
  setitimer(ITIMER_REAL, &never, NULL);
  sigaction(SIGALRM, &before, NULL);
  assert_int_equal(left, 0);
}

static _Atomic int alarms;

/* Once, so that what is interrupted goes on before the next. */
static void alarm_after(int us) { setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0, us}}, NULL); }

static void sleep_in_handler(int signal) {
  (void)signal;
  const int saved = errno;
  for (int i = 0; i < 3; i++) poll(NULL, 0, 110);
  atomic_fetch_add(&alarms, 1);
  alarm_after(3000);
  errno = saved;
}

/* It may have interrupted malloc, whose caches are then in the midst of a change. */
static void a_handler_may_sleep(void **state) {
  (void)state;
  enum { OBJECTS = 40, ALARMS = 8, SIZE = 32 };
  const struct itimerval never = {{0, 0}, {0, 0}};
  struct sigaction action = {.sa_handler = sleep_in_handler, .sa_flags = SA_RESTART}, before;
  uint64_t *objects[OBJECTS] = {NULL};
  assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
  alarm_after(3000);
  bool good = true;
  for (uint64_t step = 0; good && alarms < ALARMS; step++) {
    uint64_t **object = &objects[step * 7 % OBJECTS];
    good = *object == NULL || **object == (uint64_t)(uintptr_t)*object;
    free(*object);
    *object = opaque(malloc(SIZE));
    if (*object != NULL) **object = (uint64_t)(uintptr_t)*object;
  }
  setitimer(ITIMER_REAL, &never, NULL);
  for (int i = 0; i < OBJECTS; i++) {
    good = good && (objects[i] == NULL || *objects[i] == (uint64_t)(uintptr_t)objects[i]);
    free(objects[i]);
  }
  sigaction(SIGALRM, &before, NULL);
  assert_true(good);
}

static void note_mask(void *blocked) {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  *(int *)blocked += sigismember(&mask, SIGTERM);
}

static void *sleep_until_cancelled(void *blocked) {
  pthread_cleanup_push(note_mask, blocked);
  for (;;) poll(NULL, 0, 20);
  pthread_cleanup_pop(0);
  return NULL;
}

static void a_cancelled_sleeper_has_its_own_signal_mask(void **state) {
  (void)state;
  int blocked = 0;
  for (int i = 0; i < 100; i++) {
    pthread_t thread;
    make_work();
    assert_int_equal(pthread_create(&thread, NULL, sleep_until_cancelled, &blocked), 0);
    if (i % 2 == 0) usleep(500 * (i % 7));
    assert_int_equal(pthread_cancel(thread), 0);
    pthread_join(thread, NULL);
  }
  assert_int_equal(blocked, 0);
}

/* Who has just looked, and goes to sleep for long with something to give back. */
static void a_sleep_soon_after_another_works_too(void **state) {
  (void)state;
  require_pss();
  for (int i = 0; i < 5; i++) {
    void *block = malloc(64 * MIB);
    assert_non_null(block);
    memset(block, 1, 64 * MIB);
    wait_for_next_look();
    poll(NULL, 0, 1);
    free(block);
    const size_t before = process_pss();
    poll(NULL, 0, 1500);
    assert_true(process_pss() + 48 * MIB < before);
  }
}

static void *sleep_until_closed(void *end) {
  struct pollfd p = {.fd = *(int *)end, .events = POLLIN};
  for (int i = 0; i < 10; i++) poll(&p, 1, 20 + i);
  poll(&p, 1, -1);
  return NULL;
}

static void *sleep_at_next_look(void *end) {
  wait_for_next_look();
  poll(&(struct pollfd){.fd = *(int *)end, .events = POLLIN}, 1, -1);
  return NULL;
}

/* The one of two sleepers that was to look after the work goes its way before: the other does, a little later. */
static void work_is_not_left_to_who_is_gone(void **state) {
  (void)state;
  require_pss();
  int ends[2];
  pthread_t thread;
  void *block = malloc(64 * MIB);
  assert_non_null(block);
  memset(block, 1, 64 * MIB);
  assert_int_equal(pipe(ends), 0);
  const size_t before = process_pss();
  wait_for_next_look();
  free(block);
  assert_int_equal(pthread_create(&thread, NULL, sleep_at_next_look, &ends[0]), 0);
  poll(NULL, 0, 80); /* purging is due after 100 */
  for (double begin = now(); now() - begin < 3;) sched_yield(); /* and allocates nothing */
  assert_true(process_pss() + 48 * MIB < before);
  close(ends[1]);
  pthread_join(thread, NULL);
  close(ends[0]);
}

/* One of many threads that sleep works, not each. */
static void sleepers_wake_seldom(void **state) {
  (void)state;
  enum { THREADS = 100, OBJECTS = 400000, SIZE = 256 };
  static void *object[OBJECTS];
  pthread_t thread[THREADS];
  int ends[2];
  struct rusage before, after;
  struct dice dice = {1};
  for (size_t i = 0; i < OBJECTS; i++) memset(object[i] = malloc(SIZE), 1, SIZE);
  for (size_t i = 0; i < OBJECTS; i++) {
    if (dice_below(&dice, 8) == 0) continue;
    free(object[i]);
    object[i] = NULL;
  }
  assert_int_equal(pipe(ends), 0);
  getrusage(RUSAGE_SELF, &before);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&thread[i], NULL, sleep_until_closed, &ends[0]), 0);
  poll(NULL, 0, 2000);
  close(ends[1]);
  for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
  getrusage(RUSAGE_SELF, &after);
  print_message("%ld switches\n", after.ru_nvcsw - before.ru_nvcsw);
  assert_true(after.ru_nvcsw - before.ru_nvcsw < 50 * THREADS);
  close(ends[0]);
  for (size_t i = 0; i < OBJECTS; i++) free(object[i]);
}

static bool is_blocked(int signal) {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  return sigismember(&mask, signal) == 1;
}

static volatile sig_atomic_t handled, wrong_masks;

static void block_another(int signal, siginfo_t *info, void *context) {
  (void)signal;
  (void)info;
  sigset_t *mask = &((ucontext_t *)context)->uc_sigmask;
  handled++;
  if (sigismember(mask, SIGTERM) == 1) wrong_masks++;
  sigaddset(mask, SIGUSR2);
}

/* It finds the mask of the thread that it interrupts, and may change it; and the sleep ends, whatever libmesh did when
 * the signal came. */
static void a_handler_sees_and_changes_the_mask(void **state) {
  (void)state;
  struct sigaction action = {.sa_sigaction = block_another, .sa_flags = SA_SIGINFO | SA_RESTART}, before;
  struct dice dice = {1};
  sigset_t changed;
  sigemptyset(&changed);
  sigaddset(&changed, SIGUSR2);
  handled = wrong_masks = 0;
  assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
  for (int i = 0; i < 50; i++) {
    make_work();
    wait_for_next_look();
    alarm_after(500 + (int)dice_below(&dice, 3000));
    const double begin = now();
    errno = 0;
    if (i % 2 == 0)
      assert_int_equal(poll(NULL, 0, 10000), -1);
    else
      assert_int_equal(select(0, NULL, NULL, NULL, &(struct timeval){.tv_sec = 10}), -1);
    assert_int_equal(errno, EINTR);
    assert_true(now() - begin < 9);
    assert_int_equal(handled, i + 1);
    assert_true(is_blocked(SIGUSR2));
    pthread_sigmask(SIG_UNBLOCK, &changed, NULL);
  }
  assert_int_equal(wrong_masks, 0);
  sigaction(SIGALRM, &before, NULL);
}

/* A signal that the wait lets in, and the thread does not, finds the thread's mask too. One that is ignored ends no
 * sleep. */
static void a_wait_with_a_mask_lets_in_what_it_opens(void **state) {
  (void)state;
  struct sigaction action = {.sa_sigaction = block_another, .sa_flags = SA_SIGINFO}, before;
  sigset_t own, during, old;
  sigemptyset(&own);
  sigaddset(&own, SIGALRM);
  sigemptyset(&during);
  handled = wrong_masks = 0;
  assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
  assert_int_equal(pthread_sigmask(SIG_BLOCK, &own, &old), 0);
  for (int i = 0; i < 20; i++) {
    make_work();
    wait_for_next_look();
    alarm_after(500 + 100 * i);
    assert_int_equal(ppoll(NULL, 0, &(struct timespec){.tv_sec = 10}, &during), -1);
    assert_int_equal(errno, EINTR);
    assert_int_equal(handled, i + 1);
    assert_true(is_blocked(SIGUSR2) && is_blocked(SIGALRM));
    sigaddset(&own, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &own, NULL);
  }
  assert_int_equal(wrong_masks, 0);
  action = (struct sigaction){.sa_handler = SIG_IGN};
  sigaction(SIGALRM, &action, NULL);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  for (int i = 0; i < 20; i++) {
    make_work();
    alarm_after(500 + 100 * i);
    assert_int_equal(poll(NULL, 0, 40), 0);
  }
  sigaction(SIGALRM, &before, NULL);
}

static _Thread_local sigjmp_buf before_sleep;
static _Thread_local volatile sig_atomic_t may_jump;
static _Atomic bool asleep;

static void jump(int signal) {
  (void)signal;
  if (!may_jump) return;
  may_jump = 0;
  siglongjmp(before_sleep, 1);
}

/* What lay on the stack below the caller's frame lies there no more. */
static __attribute__((noinline)) void overwrite_stack(void) {
  char bytes[16384];
  memset(opaque(bytes), 0x41, sizeof bytes);
  opaque(bytes);
}

/* Ends as if it had slept where libc does: with the handler's mask, or its own. NULL if it does not. */
static void *sleep_until_a_jump(void *keep_mask) {
  make_work();
  wait_for_next_look();
  if (sigsetjmp(before_sleep, keep_mask != NULL) == 0) {
    may_jump = 1;
    atomic_store(&asleep, true);
    for (;;) poll(NULL, 0, -1);
  }
  overwrite_stack();
  pthread_exit(!is_blocked(SIGTERM) && is_blocked(SIGUSR1) == (keep_mask == NULL) ? before_sleep : NULL);
}

static void a_handler_may_jump_out_of_a_sleep(void **state) {
  (void)state;
  struct sigaction action = {.sa_handler = jump}, before;
  assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
  for (int i = 0; i < 8; i++) {
    pthread_t thread;
    void *good;
    atomic_store(&asleep, false);
    assert_int_equal(pthread_create(&thread, NULL, sleep_until_a_jump, i % 2 == 0 ? state : NULL), 0);
    while (!atomic_load(&asleep)) sched_yield();
    wait_for_next_look(); /* it has come to its sleep by then */
    assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
    assert_int_equal(pthread_join(thread, &good), 0);
    assert_non_null(good);
  }
  sigaction(SIGUSR1, &before, NULL);
}

/* Many spans of which a few slots are used each, in which there is more to be done than to give pages back. */
static void make_sparse_heap(void **objects, int count) {
  for (int i = 0; i < count; i++) assert_non_null(objects[i] = malloc(256));
  for (int i = 0; i < count; i++) {
    if (i * 7919u % 8 == i / 4096 % 8u) continue;
    free(objects[i]);
    objects[i] = NULL;
  }
}

enum { ALTERNATE_STACK = 65536 };
static char *alternate_stack;
static volatile size_t stack_used;

static void measure_sleep(int signal) {
  (void)signal;
  char *here = opaque(__builtin_frame_address(0)), *lowest = alternate_stack;
  memset(alternate_stack, 0x5A, (size_t)(here - alternate_stack) - 1024);
  for (int i = 0; i < 20; i++) poll(NULL, 0, 20);
  while (*lowest == 0x5A) lowest++;
  stack_used = (size_t)(here - lowest);
}

/* A handler's stack may have no more than two pages, a part of which is the kernel's. */
static void a_sleep_takes_little_stack(void **state) {
  (void)state;
  enum { OBJECTS = 60000 };
  static void *objects[OBJECTS];
  struct sigaction action = {.sa_handler = measure_sleep, .sa_flags = SA_ONSTACK}, before;
  alternate_stack = mmap(NULL, ALTERNATE_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(alternate_stack != MAP_FAILED);
  assert_int_equal(sigaltstack(&(stack_t){.ss_sp = alternate_stack, .ss_size = ALTERNATE_STACK}, NULL), 0);
  assert_int_equal(sigaction(SIGUSR2, &action, &before), 0);
  make_sparse_heap(objects, OBJECTS);
  raise(SIGUSR2);
  for (int i = 0; i < OBJECTS; i++) free(objects[i]);
  sigaction(SIGUSR2, &before, NULL);
  sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
  munmap(alternate_stack, ALTERNATE_STACK);
  print_message("%zu bytes of stack\n", stack_used);
  assert_true(stack_used < 4096);
}

/* Not before its time, at least. */
static void sleeps_last(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    make_work();
    double begin = now();
    assert_int_equal(nanosleep(&(struct timespec){.tv_nsec = 450000000}, NULL), 0);
    assert_true(now() - begin >= 0.45);
    begin = now();
    assert_int_equal(poll(NULL, 0, 250), 0);
    assert_true(now() - begin >= 0.25);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(select_touches_what_the_descriptors_take), cmocka_unit_test(sleep_counts_down),
      cmocka_unit_test(a_handler_may_sleep),                      cmocka_unit_test(sleeps_last),
      cmocka_unit_test(a_sleep_soon_after_another_works_too),
      cmocka_unit_test(work_is_not_left_to_who_is_gone),
      cmocka_unit_test(sleepers_wake_seldom),
      cmocka_unit_test(a_cancelled_sleeper_has_its_own_signal_mask),
      cmocka_unit_test(a_handler_may_jump_out_of_a_sleep),
      cmocka_unit_test(a_handler_sees_and_changes_the_mask),
      cmocka_unit_test(a_wait_with_a_mask_lets_in_what_it_opens),
      cmocka_unit_test(a_sleep_takes_little_stack),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
