/* mask: threads that block every signal, in every way there is, store into the heap; a query for a mask gives what the
   program set. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "sparse.h"
#include "stress.h"

enum { WORDS = 200, STORE_US = 300, STACK = 1 << 16 };

static struct sparse words;
static volatile uint64_t number; /* the last that was stored */

static const sigset_t *everything(void) {
  static sigset_t set;
  sigfillset(&set);
  return &set;
}

/* For a while: a batch may begin at any time. */
static void store(void) {
  const uint64_t end = now_ns() + STORE_US * 1000;
  do {
    for (size_t i = 0; i < words.count; i++) {
      volatile uint64_t *word = words.object[i];
      if (*word != number) fail("%p is %llu, must be %llu", (void *)word, (unsigned long long)*word,
                                (unsigned long long)number);
      *word = number + 1;
    }
    number++;
  } while (now_ns() < end);
}

static void on_signal(int unused) {
  (void)unused;
  int saved = errno;
  store();
  errno = saved;
}

static void expect_blocked(const char *call, bool blocked) {
  sigset_t now;
  must(pthread_sigmask(SIG_BLOCK, NULL, &now) == 0);
  if (sigismember(&now, SIGSEGV) != blocked) fail("%s: the mask has SIGSEGV %d, must be %d", call, !blocked, blocked);
  must(sigprocmask(SIG_BLOCK, NULL, &now) == 0);
  if (sigismember(&now, SIGSEGV) != blocked) fail("%s: sigprocmask has SIGSEGV %d, must be %d", call, !blocked, blocked);
}

static void *store_in_thread(void *unused) {
  expect_blocked("in a thread made by one that blocks everything", true);
  store();
  return unused;
}

static void by_mask(void) {
  sigset_t old, again;
  must(pthread_sigmask(SIG_SETMASK, everything(), &old) == 0);
  must(!sigismember(&old, SIGSEGV));
  expect_blocked("after SIG_SETMASK of everything", true);
  store();
  join_new_thread(store_in_thread, NULL);
  must(sigprocmask(SIG_UNBLOCK, everything(), &again) == 0);
  must(sigismember(&again, SIGSEGV) == 1);
  expect_blocked("after SIG_UNBLOCK of everything", false);
  must(sigprocmask(SIG_BLOCK, everything(), NULL) == 0);
  store();
  must(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
  expect_blocked("after the old mask", false);
}

static void by_call(void) {
  const uint64_t all = ~UINT64_C(0);
  uint64_t old;
  must(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof all) == 0);
  store();
  must(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof old) == 0);
}

/* The handler runs with the mask of the call that it ends. */
static void by_waiting(void (*wait)(const sigset_t *mask)) {
  sigset_t one, old, mask = *everything();
  sigemptyset(&one);
  sigaddset(&one, SIGUSR2);
  sigdelset(&mask, SIGUSR2);
  must(pthread_sigmask(SIG_BLOCK, &one, &old) == 0);
  pthread_kill(pthread_self(), SIGUSR2);
  uint64_t before = number;
  wait(&mask);
  must(number > before);
  must(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
}

static const struct timespec long_time = {20, 0};
static void in_sigsuspend(const sigset_t *mask) { sigsuspend(mask); }
static void in_ppoll(const sigset_t *mask) { ppoll(NULL, 0, &long_time, mask); }
static void in_pselect(const sigset_t *mask) { pselect(0, NULL, NULL, NULL, &long_time, mask); }
static void in_epoll_pwait(const sigset_t *mask) {
  struct epoll_event e;
  int fd = epoll_create1(EPOLL_CLOEXEC);
  epoll_pwait(fd, &e, 1, 20000, mask);
  close(fd);
}
static void in_epoll_pwait2(const sigset_t *mask) {
  struct epoll_event e;
  int fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_pwait2(fd, &e, 1, &long_time, mask) < 0 && errno == ENOSYS) epoll_pwait(fd, &e, 1, 20000, mask);
  close(fd);
}

static void by_handler(void) {
  struct sigaction action = {.sa_handler = on_signal, .sa_mask = *everything()}, seen;
  must(sigaction(SIGUSR2, &action, NULL) == 0);
  pthread_kill(pthread_self(), SIGUSR2);
  must(sigaction(SIGUSR2, NULL, &seen) == 0);
  if (sigismember(&seen.sa_mask, SIGSEGV) != 1) fail("sigaction: SIGSEGV is gone from the handler's mask");
  sigemptyset(&action.sa_mask);
  must(sigaction(SIGUSR2, &action, &seen) == 0 && sigismember(&seen.sa_mask, SIGSEGV) == 1);
  must(sigaction(SIGUSR2, NULL, &seen) == 0 && sigismember(&seen.sa_mask, SIGSEGV) == 0);
}

static ucontext_t main_context, other_context;
static void be_coroutine(void) {
  store();
  swapcontext(&other_context, &main_context);
}

static void by_context(void) {
  void *stack = malloc(STACK);
  must(stack != NULL && getcontext(&other_context) == 0);
  other_context.uc_stack.ss_sp = stack;
  other_context.uc_stack.ss_size = STACK;
  other_context.uc_sigmask = *everything();
  makecontext(&other_context, be_coroutine, 0);
  must(swapcontext(&main_context, &other_context) == 0);
  free(stack);
}

static void *only_store(void *unused) {
  store();
  return unused;
}

static void by_attribute(void) {
  pthread_attr_t a;
  pthread_t thread;
  pthread_attr_init(&a);
  must(pthread_attr_setsigmask_np(&a, everything()) == 0);
  must(pthread_create(&thread, &a, only_store, NULL) == 0);
  pthread_join(thread, NULL);
  pthread_attr_destroy(&a);
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* these are */
static void by_name(void) {
  struct sigaction mine = {.sa_handler = on_signal}, seen, old;
  must(sighold(SIGSEGV) == 0);
  expect_blocked("sighold", true);
  store();
  must(sigrelse(SIGSEGV) == 0);
  expect_blocked("sigrelse", false);
  must(sigaction(SIGSEGV, &mine, &old) == 0 && siginterrupt(SIGSEGV, 0) == 0);
  must(sigaction(SIGSEGV, NULL, &seen) == 0);
  if (!(seen.sa_flags & SA_RESTART) || seen.sa_handler != on_signal) fail("siginterrupt: flags %#x", seen.sa_flags);
  store();
  must(sigaction(SIGSEGV, &old, NULL) == 0);
}

/* A program may set its handler for SIGSEGV back in the child of a vfork: its own must stay. */
static void by_vfork(void) {
  struct sigaction mine = {.sa_handler = on_signal}, theirs = {.sa_handler = SIG_DFL}, seen, old;
  int status;
  must(sigaction(SIGSEGV, &mine, &old) == 0);
  pid_t child = vfork();
  if (child == 0) {
    sigaction(SIGSEGV, &theirs, NULL);
    store();
    _exit(0);
  }
  must(child > 0 && waitpid(child, &status, 0) == child);
  if (status != 0) fail("a child of vfork that stores into the heap ends with status %#x", status);
  must(sigaction(SIGSEGV, NULL, &seen) == 0);
  if (seen.sa_handler != on_signal) fail("a child of vfork has changed the parent's handler for SIGSEGV");
  must(sigaction(SIGSEGV, &old, NULL) == 0);
}

void mask_part(struct worker *w) {
  static void (*const waits[])(const sigset_t *) = {in_sigsuspend, in_ppoll, in_pselect, in_epoll_pwait, in_epoll_pwait2};
  static void (*const ways[])(void) = {by_mask, by_call, by_handler, by_context, by_attribute, by_name, by_vfork};
  struct sigaction action = {.sa_handler = on_signal};
  while (running()) {
    words = sparse_new(WORDS, sparse_size(&w->dice, 64), &w->dice);
    for (size_t i = 0; i < words.count; i++) *(uint64_t *)words.object[i] = number;
    must(sigaction(SIGUSR2, &action, NULL) == 0);
    for (int i = 0; running() && i < 50; i++) {
      const size_t way = dice_below(&w->dice, 12);
      if (way < 5)
        by_waiting(waits[way]);
      else
        ways[way - 5]();
      did_one(w);
    }
    sparse_free(&words);
  }
}
