/* Wrappers of what concerns SIGSEGV, where it is the write barrier: the program sees its own action for it
 * and its own signal masks. */
#include "interpose_signal.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <threads.h>
#include <ucontext.h>

#include "arena_mesh.h"
#include "barrier.h"
#include "hazard.h"
#include "interpose.h"
#include "options.h"
#include "pin.h"
#include "segv.h"

#define SEGV_BIT ((uint64_t)1 << (SIGSEGV - 1))

/* ----------------------------------------------------------------------------- SIGSEGV's own action */

static OsSignalAction to_os(const struct sigaction *a) {
  OsSignalAction action = {.handler = (uintptr_t)a->sa_handler, .flags = (uint64_t)(unsigned)a->sa_flags};
  memcpy(&action.mask, &a->sa_mask, sizeof action.mask);
  return action;
}

static void from_os(const OsSignalAction *action, struct sigaction *a) {
  memset(a, 0, sizeof *a);
  a->sa_handler = (sighandler_t)action->handler;
  a->sa_flags = (int)action->flags;
  memcpy(&a->sa_mask, &action->mask, sizeof action->mask);
}

/* Signals whose handlers the program wanted SIGSEGV blocked in. */
static _Atomic uint64_t blocked_in_handler; /* (~) */

static bool handler_blocks(int signal) { return load_relaxed(&blocked_in_handler) >> (signal - 1) & 1; }

/* Signals that the program had a handler for, which may run yet when it has another action, and whether one may
 * run with none of them blocked. */
static _Atomic uint64_t handled; /* (~) */
static _Atomic bool nested;      /* (~) */

static bool is_fault(int signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL || signal == SIGTRAP ||
         signal == SIGSYS || signal == SIGABRT;
}

static void note_handler(int signal, sighandler_t handler, bool blocks_itself) {
  if (handler == SIG_DFL || handler == SIG_IGN || handler == SIG_HOLD) return;
  if (blocks_itself)
    atomic_fetch_or_explicit(&handled, (uint64_t)1 << (signal - 1), memory_order_relaxed);
  else if (!is_fault(signal)) /* which comes from the program's own code, not from the midst of ours */
    store_relaxed(&nested, true);
}

bool in_handler_perhaps(uint64_t mask) { return (mask & load_relaxed(&handled)) != 0 || load_relaxed(&nested); }

/* Returns what it was. */
static bool note_handler_mask(int signal, bool blocks) {
  const uint64_t bit = (uint64_t)1 << (signal - 1);
  if (blocks) return atomic_fetch_or_explicit(&blocked_in_handler, bit, memory_order_relaxed) & bit;
  if (!handler_blocks(signal)) return false;
  return atomic_fetch_and_explicit(&blocked_in_handler, ~bit, memory_order_relaxed) & bit;
}

/* A child of vfork has its own actions, which end with it, but the memory, and so the record of the
 * program's action, is its parent's. */
static bool in_vfork_child(void) { return segv_of_other_process() && !arena_mesh_in_unprepared_child(); }

static int exchange_segv(const struct sigaction *new, struct sigaction *old) {
  OsSignalAction wanted, before;
  if (new != NULL) wanted = to_os(new);
  segv_exchange(new != NULL && !in_vfork_child() ? &wanted : NULL, &before);
  bool blocked = new != NULL ? note_handler_mask(SIGSEGV, false) : handler_blocks(SIGSEGV);
  if (old == NULL) return 0;
  from_os(&before, old);
  if (blocked) sigaddset(&old->sa_mask, SIGSEGV);
  return 0;
}

EXPORT int sigaction(int signal, const struct sigaction *new, struct sigaction *old) {
  struct sigaction open_to_segv;
  if (signal == SIGSEGV && segv_installed()) return exchange_segv(new, old);
  const bool valid = signal > 0 && signal <= 64;
  bool blocked = valid && handler_blocks(signal), blocks = false;
  if (new != NULL) {
    open_to_segv = *new;
    const bool named = sigismember(&new->sa_mask, SIGSEGV) == 1;
    blocks = named && open_mask(&new->sa_mask, &open_to_segv.sa_mask) != &new->sa_mask;
    new = &open_to_segv;
  }
  Published p = hazard_publish(old, sizeof *old);
  int result = REAL(sigaction)(signal, new, old);
  hazard_clear(p);
  if (result != 0) return result;
  if (new != NULL && valid) {
    note_handler_mask(signal, blocks);
    note_handler(signal, new->sa_handler, !(new->sa_flags & SA_NODEFER));
  }
  if (old != NULL && blocked) sigaddset(&old->sa_mask, SIGSEGV);
  return result;
}

static sighandler_t signal_segv(sighandler_t handler, int flags) {
  struct sigaction new = {.sa_handler = handler, .sa_flags = flags}, old;
  exchange_segv(&new, &old);
  return old.sa_handler;
}

EXPORT sighandler_t signal(int number, sighandler_t handler) {
  if (number == SIGSEGV && segv_installed()) return signal_segv(handler, SA_RESTART);
  sighandler_t old = REAL(signal)(number, handler);
  if (old == SIG_ERR) return old;
  note_handler_mask(number, false);
  note_handler(number, handler, true);
  return old;
}

EXPORT sighandler_t bsd_signal(int number, sighandler_t handler);
EXPORT sighandler_t bsd_signal(int number, sighandler_t handler) { return signal(number, handler); }
EXPORT sighandler_t ssignal(int number, sighandler_t handler) { return signal(number, handler); }

EXPORT sighandler_t sysv_signal(int number, sighandler_t handler) {
  if (number == SIGSEGV && segv_installed()) return signal_segv(handler, (int)(SA_RESETHAND | SA_NODEFER));
  sighandler_t old = REAL(sysv_signal)(number, handler);
  if (old == SIG_ERR) return old;
  note_handler_mask(number, false);
  note_handler(number, handler, false);
  return old;
}

EXPORT sighandler_t __sysv_signal(int number, sighandler_t handler);
EXPORT sighandler_t __sysv_signal(int number, sighandler_t handler) { return sysv_signal(number, handler); }

EXPORT int sigignore(int number) { return signal(number, SIG_IGN) == SIG_ERR ? -1 : 0; }

/* ------------------------------------------------------------------------------------------- masks */

/* As far as the program knows, the thread blocks SIGSEGV. */
static _Thread_local bool segv_blocked;

const sigset_t *open_mask(const sigset_t *set, sigset_t *copy) {
  if (set == NULL || !barrier_needs_segv() || barrier_ended() || !os_readable(set, sizeof(uint64_t))) return set;
  if (sigismember(set, SIGSEGV) != 1) return set;
  *copy = *set;
  sigdelset(copy, SIGSEGV);
  return copy;
}

void open_mask_of_call(long number, uintptr_t *a, uint64_t *copy) {
  static const struct {
    long number;
    int argument;
  } calls[] = {{SYS_rt_sigprocmask, 1}, {SYS_rt_sigsuspend, 0}, {SYS_ppoll, 3}, {SYS_epoll_pwait, 4}};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    if (number != calls[i].number) continue;
    const uint64_t *mask = (const uint64_t *)a[calls[i].argument];
    if (number == SYS_rt_sigprocmask && a[0] == SIG_UNBLOCK) return;
    if (mask == NULL || !barrier_needs_segv() || barrier_ended() || !os_readable(mask, sizeof *mask)) return;
    if (!(*mask & SEGV_BIT)) return;
    *copy = *mask & ~SEGV_BIT;
    a[calls[i].argument] = (uintptr_t)copy;
  }
}

typedef int SetMask(int how, const sigset_t *set, sigset_t *old);

static int change_mask(SetMask *real, int how, const sigset_t *set, sigset_t *old) {
  sigset_t copy;
  const bool was = segv_blocked, named = set != NULL && sigismember(set, SIGSEGV) == 1;
  const sigset_t *open = how == SIG_UNBLOCK || !named ? set : open_mask(set, &copy); /* which may ask the kernel */
  Published p = hazard_publish(old, sizeof *old);
  int result = real(how, open, old);
  hazard_clear(p);
  if (result != 0) return result;
  if (open != set)
    segv_blocked = true;
  else if (set != NULL && (how == SIG_SETMASK || (how == SIG_UNBLOCK && named)))
    segv_blocked = false;
  if (old != NULL && was) sigaddset(old, SIGSEGV);
  return result;
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old) {
  return change_mask(REAL(sigprocmask), how, set, old);
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
  return change_mask(REAL(pthread_sigmask), how, set, old);
}

EXPORT int sigsuspend(const sigset_t *set) {
  sigset_t copy;
  return REAL(sigsuspend)(open_mask(set, &copy));
}

/* The older names: a mask of the first 32 signals, or one signal. */
static void from_old_mask(int mask, sigset_t *set) {
  sigemptyset(set);
  for (int s = 1; s < 32; s++)
    if ((unsigned)mask >> (s - 1) & 1) sigaddset(set, s);
}

static int change_old_mask(int how, int mask) {
  sigset_t set, old;
  int before = 0;
  from_old_mask(mask, &set);
  if (sigprocmask(how, &set, &old) != 0) return -1;
  for (int s = 1; s < 32; s++)
    if (sigismember(&old, s) == 1) before |= (int)(1u << (s - 1));
  return before;
}

EXPORT int sigblock(int mask) { return change_old_mask(SIG_BLOCK, mask); }
EXPORT int sigsetmask(int mask) { return change_old_mask(SIG_SETMASK, mask); }

static int change_one(int how, int number) {
  sigset_t set;
  sigemptyset(&set);
  return sigaddset(&set, number) != 0 ? -1 : sigprocmask(how, &set, NULL);
}

EXPORT int sighold(int number) { return change_one(SIG_BLOCK, number); }
EXPORT int sigrelse(int number) { return change_one(SIG_UNBLOCK, number); }

EXPORT int __sigpause(int number_or_mask, int is_number);
EXPORT int __sigpause(int number_or_mask, int is_number) {
  sigset_t set;
  if (!is_number)
    from_old_mask(number_or_mask, &set);
  else if (sigprocmask(SIG_BLOCK, NULL, &set) != 0 || sigdelset(&set, number_or_mask) != 0)
    return -1;
  return sigsuspend(&set);
}

/* Headers give the name sigpause to the second of them, or make a macro of it. */
EXPORT int sigpause_of_mask(int mask) __asm__("sigpause");
EXPORT int sigpause_of_mask(int mask) { return __sigpause(mask, 0); }
EXPORT int sigpause_of_number(int number) __asm__("__xpg_sigpause");
EXPORT int sigpause_of_number(int number) { return __sigpause(number, 1); }

/* libc's own would not come by the functions above. */
static sighandler_t sigset_segv(sighandler_t handler) {
  sigset_t set, old;
  struct sigaction action = {.sa_handler = handler}, before;
  sigemptyset(&set);
  sigaddset(&set, SIGSEGV);
  if (sigprocmask(handler == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, &set, &old) != 0) return SIG_ERR;
  if (sigaction(SIGSEGV, handler == SIG_HOLD ? NULL : &action, &before) != 0) return SIG_ERR;
  return sigismember(&old, SIGSEGV) == 1 ? SIG_HOLD : before.sa_handler;
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* sigset is */
EXPORT int siginterrupt(int number, int interrupt) {
  struct sigaction action;
  if (number != SIGSEGV || !segv_installed()) return REAL(siginterrupt)(number, interrupt);
  exchange_segv(NULL, &action);
  action.sa_flags = interrupt ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
  return exchange_segv(&action, NULL);
}

EXPORT sighandler_t sigset(int number, sighandler_t handler) {
  if (number == SIGSEGV) return sigset_segv(handler);
  sighandler_t old = REAL(sigset)(number, handler);
  if (old != SIG_ERR) note_handler(number, handler, true);
  return old;
}

/* -------------------------------------------------------- masks that come with a context or a thread */

static void open_context(const ucontext_t *c) {
  sigset_t copy;
  if (open_mask(&c->uc_sigmask, &copy) == &copy) ((ucontext_t *)c)->uc_sigmask = copy;
}

EXPORT int setcontext(const ucontext_t *to) {
  open_context(to);
  return REAL(setcontext)(to);
}

/* The kernel stores the mask into `from`, which stays in use until somebody switches back. */
EXPORT int swapcontext(ucontext_t *from, const ucontext_t *to) {
  open_context(to);
  if (hazard_concerns((uintptr_t)from)) pin_for_good(&from->uc_sigmask, sizeof from->uc_sigmask);
  return REAL(swapcontext)(from, to);
}

EXPORT int pthread_attr_setsigmask_np(pthread_attr_t *a, const sigset_t *set) {
  sigset_t copy;
  return REAL(pthread_attr_setsigmask_np)(a, open_mask(set, &copy));
}

typedef struct ThreadStart {
  void *(*function)(void *);
  void *argument;
} ThreadStart;

static void *start_blocked(void *start) {
  ThreadStart s = *(ThreadStart *)start;
  free(start);
  segv_blocked = true;
  return s.function(s.argument);
}

/* A thread begins with its maker's mask. */
EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *a, void *(*function)(void *), void *argument) {
  real_find_all();
  ThreadStart *start = segv_blocked ? malloc(sizeof *start) : NULL;
  if (start == NULL) return REAL(pthread_create)(thread, a, function, argument);
  *start = (ThreadStart){.function = function, .argument = argument};
  int error = REAL(pthread_create)(thread, a, start_blocked, start);
  if (error != 0) free(start);
  return error;
}

EXPORT int thrd_create(thrd_t *thread, thrd_start_t function, void *argument) {
  real_find_all();
  return REAL(thrd_create)(thread, function, argument);
}

/* A program begins with the mask of the one that it replaced. */
__attribute__((constructor)) static void open_first_mask(void) {
  sigset_t set;
  if (!os_segv_blocked()) return; /* that is all that most programs run of this */
  options_read();
  if (REAL(sigprocmask)(SIG_BLOCK, NULL, &set) == 0) sigprocmask(SIG_SETMASK, &set, NULL);
}

/* A signal's frame on such a stack is stored by the kernel. */
EXPORT int sigaltstack(const stack_t *new, stack_t *old) {
  if (new != NULL && hazard_concerns((uintptr_t)new->ss_sp)) pin_for_good(new->ss_sp, new->ss_size);
  Published p = hazard_publish(old, sizeof *old);
  int result = REAL(sigaltstack)(new, old);
  hazard_clear(p);
  return result;
}

ALSO(__sigaction, sigaction);
ALSO(__sigsuspend, sigsuspend);
