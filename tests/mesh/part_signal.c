/* signal: handlers that store into heap objects, on any thread and at any time.
   fault: the program's own handler for SIGSEGV, which sees its own faults, all of them, and no others. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sparse.h"
#include "stress.h"

enum { TARGETS = 3, WORDS = 40, LIFE_MS = 200, STACK = 1 << 16 };

/* A thread's words; only handlers on this thread store into them, at any time while it is ready. */
static _Thread_local struct {
  volatile uint64_t *word[WORDS];
  volatile uint64_t stored;
  volatile sig_atomic_t ready;
} mine;

static atomic_ulong handled;

static void store_into_heap(int signal_number) {
  (void)signal_number;
  int saved = errno;
  if (!mine.ready) return;
  for (int i = 0; i < WORDS; i++) {
    if (*mine.word[i] != mine.stored)
      fail("a handler finds %llu in %p and had stored %llu", (unsigned long long)*mine.word[i], (void *)mine.word[i],
           (unsigned long long)mine.stored);
    *mine.word[i] = mine.stored + 1;
  }
  mine.stored++;
  handled++;
  errno = saved;
}

static void handle(int signal_number, void (*handler)(int)) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
  sigfillset(&action.sa_mask);
  must(sigaction(signal_number, &action, NULL) == 0);
}

/* The same objects in the thread itself, as plain words with the low half its own. */
static void *be_target(void *argument) {
  struct dice dice = {now_ns()}; /* when handlers run is left to chance anyway */
  (void)argument;
  struct sparse s = sparse_new(2 * WORDS, sparse_size(&dice, 64), &dice);
  for (int i = 0; i < WORDS; i++) {
    mine.word[i] = s.object[i];
    *mine.word[i] = 0;
  }
  mine.stored = 0;
  mine.ready = 1;
  const uint64_t end = now_ns() + LIFE_MS * UINT64_C(1000000);
  for (uint64_t n = 1; running() && now_ns() < end; n++)
    for (int i = WORDS; i < 2 * WORDS; i++) {
      volatile uint64_t *word = s.object[i];
      if (n > 1 && *word != n - 1)
        fail("%p is %llu, must be %llu", s.object[i], (unsigned long long)*word, (unsigned long long)n - 1);
      *word = n;
    }
  mine.ready = 0;
  for (int i = 0; i < WORDS; i++)
    if (*mine.word[i] != mine.stored)
      fail("%p is %llu, and handlers stored %llu", (void *)mine.word[i], (unsigned long long)*mine.word[i],
           (unsigned long long)mine.stored);
  sparse_free(&s);
  return NULL;
}

static void *keep_target(void *argument) {
  while (running()) be_target(argument);
  return NULL;
}

void signal_part(struct worker *w) {
  struct itimerval every_2_ms = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
  pthread_t target[TARGETS];
  handle(SIGUSR1, store_into_heap);
  handle(SIGALRM, store_into_heap);
  must(setitimer(ITIMER_REAL, &every_2_ms, NULL) == 0);
  for (int i = 0; i < TARGETS; i++) must(pthread_create(&target[i], NULL, keep_target, NULL) == 0);
  while (running()) {
    must(pthread_kill(target[dice_below(&w->dice, TARGETS)], SIGUSR1) == 0);
    did_one(w);
    pause_up_to(&w->dice, 500);
  }
  setitimer(ITIMER_REAL, &never, NULL);
  for (int i = 0; i < TARGETS; i++) pthread_join(target[i], NULL);
}

/* ------------------------------------------------------------------------------------------ faults */

static char *forbidden; /* a page of the program's own */
static _Thread_local struct {
  sigjmp_buf back;
  volatile sig_atomic_t expected, seen, sent;
  volatile uint64_t *word; /* in the heap */
} fault;

static void on_fault(int signal_number, siginfo_t *info, void *context) {
  (void)signal_number;
  (void)context;
  if (info->si_code <= 0) { /* sent by a thread */
    if (!fault.sent) fail("a SIGSEGV that nobody sent, si_code %d", info->si_code);
    fault.seen++;
    (*fault.word)++;
    return;
  }
  if (!fault.expected || (char *)info->si_addr < forbidden || (char *)info->si_addr >= forbidden + STACK)
    fail("SIGSEGV at %p, which is no fault of the program's", info->si_addr);
  fault.seen++;
  (*fault.word)++;
  if (fault.expected == 1) siglongjmp(fault.back, 1);
  if (mprotect(forbidden, STACK, PROT_READ | PROT_WRITE) != 0) fail("mprotect: errno %d", errno);
}

static void check_handler(void) {
  struct sigaction now;
  must(sigaction(SIGSEGV, NULL, &now) == 0);
  if (now.sa_sigaction != on_fault || (now.sa_flags & (SA_SIGINFO | SA_ONSTACK)) != (SA_SIGINFO | SA_ONSTACK))
    fail("a query for the SIGSEGV handler gives %p with flags %#x, must be %p", (void *)now.sa_handler, now.sa_flags,
         (void *)on_fault);
}

static void fault_once(int how) {
  fault.seen = 0;
  fault.expected = how;
  uint64_t before = *fault.word;
  must(mprotect(forbidden, STACK, PROT_NONE) == 0);
  if (how == 2 || sigsetjmp(fault.back, 1) == 0) {
    *(volatile char *)(forbidden + 100) = 1;
    if (how == 1) fail("no SIGSEGV on a page without access");
  }
  fault.expected = 0;
  if (fault.seen != 1 || *fault.word != before + 1) fail("a fault ran its handler %d times", (int)fault.seen);
}

static void send_once(void) {
  fault.seen = 0;
  fault.sent = 1;
  pthread_kill(pthread_self(), SIGSEGV);
  fault.sent = 0;
  if (fault.seen != 1) fail("a SIGSEGV that the program sent ran its handler %d times", (int)fault.seen);
}

static void swap_handler(void) {
  struct sigaction old, ignored;
  must(sigaction(SIGSEGV, NULL, &old) == 0);
  sighandler_t was = signal(SIGSEGV, SIG_DFL);
  if ((void *)was != (void *)on_fault) fail("signal(SIGSEGV) gives %p, must be %p", (void *)was, (void *)on_fault);
  was = signal(SIGSEGV, SIG_IGN);
  if (was != SIG_DFL) fail("signal(SIGSEGV) gives %p, must be SIG_DFL", (void *)was);
  must(sigaction(SIGSEGV, &old, &ignored) == 0);
  if (ignored.sa_handler != SIG_IGN) fail("sigaction(SIGSEGV) gives %p, must be SIG_IGN", (void *)ignored.sa_handler);
}

/* A genuine fault must end the program. */
static void die_once(void) {
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGSEGV, SIG_DFL);
    *(volatile char *)forbidden = 1;
    _exit(0);
  }
  must(mprotect(forbidden, STACK, PROT_NONE) == 0);
  pid_t pid;
  do pid = waitpid(child, &status, 0);
  while (pid < 0 && errno == EINTR);
  if (pid != child || (status & 127) != SIGSEGV) fail("a child that must end by SIGSEGV ends with status %#x", status);
}

static struct sparse fresh_words(struct dice *dice) {
  struct sparse s = sparse_new(50, sparse_size(dice, 64), dice);
  for (size_t i = 0; i < s.count; i++) *(uint64_t *)s.object[i] = 0;
  return s;
}

void fault_part(struct worker *w) {
  forbidden = mmap(NULL, STACK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack_t stack = {.ss_sp = malloc(STACK), .ss_size = STACK};
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  must(forbidden != MAP_FAILED && sigaltstack(&stack, NULL) == 0);
  struct sparse s = fresh_words(&w->dice);
  fault.word = s.object[0];
  must(sigaction(SIGSEGV, &action, NULL) == 0);
  while (running()) {
    if (dice_below(&w->dice, 300) == 0) {
      sparse_free(&s);
      s = fresh_words(&w->dice);
    }
    fault.word = s.object[dice_below(&w->dice, s.count)];
    check_handler();
    fault_once(1 + (int)dice_below(&w->dice, 2));
    send_once();
    if (dice_below(&w->dice, 20) == 0) swap_handler();
    if (dice_below(&w->dice, 200) == 0) {
      must(mprotect(forbidden, STACK, PROT_NONE) == 0);
      die_once();
    }
    did_one(w);
    if (dice_below(&w->dice, 50) == 0) pause_up_to(&w->dice, 1000);
  }
  signal(SIGSEGV, SIG_DFL);
  sparse_free(&s);
}
