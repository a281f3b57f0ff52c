/* Wrappers around what meshing would otherwise show through: ways to make a process that run no fork
 * handlers, the program's own action for SIGSEGV, and futexes in heap memory. */
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fork.h"
#include "hazard.h"
#include "init.h"
#include "interpose.h"
#include "segv.h"

/* ------------------------------------------------------------------------------ new processes */

static bool heap_exists(void) { return load_acquire(&init_done); } /* acquire: init_slow's release */

static bool prepare(void) {
  if (!heap_exists()) return false;
  fork_prepare();
  return true;
}

/* If not, the call is to fail as the kernel's would, which counts the same memory by then. */
static bool possible(void) {
  if (!heap_exists() || fork_possible()) return true;
  errno = ENOMEM;
  return false;
}

/* After it, on both sides. errno is the caller's to see. */
static void part(bool prepared, bool child) {
  if (!prepared) return;
  int saved = errno;
  if (child)
    fork_child();
  else
    fork_parent();
  errno = saved;
}

EXPORT pid_t _Fork(void);
EXPORT pid_t _Fork(void) {
  if (!possible()) return -1;
  bool prepared = prepare();
  pid_t pid = REAL(_Fork)();
  part(prepared, pid == 0);
  return pid;
}

/* Prepared by the handlers, which cannot refuse. */
EXPORT pid_t fork(void) { return possible() ? REAL(fork)() : -1; }

typedef struct Start {
  int (*function)(void *);
  void *argument;
} Start;

/* The child of a clone without CLONE_VM finds its copy of the parent's stack, and this on it. */
static int start_child(void *start) {
  Start s = *(Start *)start;
  fork_child();
  return s.function(s.argument);
}

EXPORT int clone(int (*function)(void *), void *stack, int flags, void *argument, ...) {
  va_list list;
  va_start(list, argument);
  pid_t *parent_tid = va_arg(list, pid_t *);
  void *tls = va_arg(list, void *);
  pid_t *child_tid = va_arg(list, pid_t *);
  va_end(list);
  if (!(flags & CLONE_VM) && !possible()) return -1;
  if ((flags & CLONE_VM) || !prepare())
    return REAL(clone)(function, stack, flags, argument, parent_tid, tls, child_tid);
  Start start = {.function = function, .argument = argument};
  int pid = REAL(clone)(start_child, stack, flags, &start, parent_tid, tls, child_tid);
  part(true, false);
  return pid;
}

/* ------------------------------------------------------------------------------------- futexes */

/* A futex that is not private is known to the kernel by what its page is mapped to, which meshing
 * changes: a wake would miss its waiter. Heap memory is shared with no other process, so a private one,
 * known by its address, does the same. */
static long private_futex(uintptr_t address, uintptr_t second, long operation) {
  const long command = operation & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
  bool plain = command == FUTEX_WAIT || command == FUTEX_WAKE || command == FUTEX_REQUEUE ||
               command == FUTEX_CMP_REQUEUE || command == FUTEX_WAKE_OP || command == FUTEX_WAIT_BITSET ||
               command == FUTEX_WAKE_BITSET;
  bool two = command == FUTEX_REQUEUE || command == FUTEX_CMP_REQUEUE || command == FUTEX_WAKE_OP;
  if (two && !arena_contains((void *)second)) return operation;
  if (!plain || !arena_contains((void *)address)) return operation;
  return operation | FUTEX_PRIVATE_FLAG;
}

static bool makes_process(long number, const uintptr_t *a) {
#ifdef SYS_fork
  if (number == SYS_fork) return true;
#endif
  if (number == SYS_clone) return !(a[0] & CLONE_VM);
  if (number == SYS_clone3) return a[0] != 0 && !(((struct clone_args *)a[0])->flags & CLONE_VM);
  return false;
}

/* Small objects are all that meshes, and none is longer. */
enum { SYSCALL_STORES_MAX = 4096 };

EXPORT long syscall(long number, ...) {
  uintptr_t a[6];
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(list, uintptr_t);
  va_end(list);
  if (number == SYS_futex) a[1] = (uintptr_t)private_futex(a[0], a[4], (long)a[1]);
  bool forks = makes_process(number, a);
  if (forks && !possible()) return -1;
  forks = forks && prepare();
  Published p[6];
  for (int i = 0; i < 6; i++) p[i] = hazard_publish((void *)a[i], SYSCALL_STORES_MAX);
  long result = REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  for (int i = 6; i-- > 0;) hazard_clear(p[i]);
  part(forks, result == 0);
  return result;
}

/* ------------------------------------------------------------------------- SIGSEGV's own action */

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

static int exchange_segv(const struct sigaction *new, struct sigaction *old) {
  OsSignalAction wanted, before;
  if (new != NULL) wanted = to_os(new);
  segv_exchange(new != NULL ? &wanted : NULL, &before);
  if (old != NULL) from_os(&before, old);
  return 0;
}

EXPORT int sigaction(int signal, const struct sigaction *new, struct sigaction *old) {
  struct sigaction open_to_segv;
  if (signal == SIGSEGV && segv_installed()) return exchange_segv(new, old);
  if (new != NULL) { /* as for threads' masks, below */
    open_to_segv = *new;
    sigdelset(&open_to_segv.sa_mask, SIGSEGV);
    new = &open_to_segv;
  }
  Published p = hazard_publish(old, sizeof *old);
  int result = REAL(sigaction)(signal, new, old);
  hazard_clear(p);
  return result;
}

static sighandler_t signal_segv(sighandler_t handler, int flags) {
  struct sigaction new = {.sa_handler = handler, .sa_flags = flags}, old;
  exchange_segv(&new, &old);
  return old.sa_handler;
}

EXPORT sighandler_t signal(int number, sighandler_t handler) {
  if (number == SIGSEGV && segv_installed()) return signal_segv(handler, SA_RESTART);
  return REAL(signal)(number, handler);
}

EXPORT sighandler_t bsd_signal(int number, sighandler_t handler);
EXPORT sighandler_t bsd_signal(int number, sighandler_t handler) { return signal(number, handler); }

EXPORT sighandler_t sysv_signal(int number, sighandler_t handler) {
  if (number == SIGSEGV && segv_installed()) return signal_segv(handler, (int)(SA_RESETHAND | SA_NODEFER));
  return REAL(sysv_signal)(number, handler);
}

EXPORT sighandler_t __sysv_signal(int number, sighandler_t handler);
EXPORT sighandler_t __sysv_signal(int number, sighandler_t handler) { return sysv_signal(number, handler); }

/* A thread that blocks SIGSEGV could not wait for a batch where the barrier is that signal: the kernel
 * would end the program. Blocking a signal that comes from the thread's own fault has no other effect. */
static const sigset_t *without_segv(int how, const sigset_t *set, sigset_t *copy) {
  if (set == NULL || how == SIG_UNBLOCK || sigismember(set, SIGSEGV) != 1) return set;
  *copy = *set;
  sigdelset(copy, SIGSEGV);
  return copy;
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old) {
  sigset_t copy;
  Published p = hazard_publish(old, sizeof *old);
  int result = REAL(sigprocmask)(how, without_segv(how, set, &copy), old);
  hazard_clear(p);
  return result;
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
  sigset_t copy;
  Published p = hazard_publish(old, sizeof *old);
  int result = REAL(pthread_sigmask)(how, without_segv(how, set, &copy), old);
  hazard_clear(p);
  return result;
}
