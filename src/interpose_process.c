/* Wrappers around what meshing would otherwise show through: ways to make a process that run no fork
 * handlers, futexes in heap memory, and filters of system calls. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "arena_mesh.h"
#include "barrier.h"
#include "fork.h"
#include "hazard.h"
#include "init.h"
#include "interpose.h"
#include "interpose_late.h"
#include "interpose_memory.h"
#include "interpose_signal.h"
#include "os.h"
#include "pin.h"

/* ------------------------------------------------------------------------------ new processes */

/* If not, the call is to fail as the kernel's would, which counts the same memory by then. */
static bool possible(void) {
  if (fork_possible()) return true;
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

/* CLONE_VFORK without CLONE_VM would hold the parent, and with it our locks, until the child has ended or
 * started another program. It is held by a pipe instead, once it has let the locks go. */
typedef struct Hold {
  int end[2]; /* -1: none */
} Hold;

static Hold hold(uint64_t *flags) {
  Hold h = {{-1, -1}};
  if ((*flags & CLONE_VFORK) && REAL(pipe2)(h.end, O_CLOEXEC) == 0) *flags &= ~(uint64_t)CLONE_VFORK;
  return h;
}

/* The child keeps its end until it ends. */
static void wait_for_child(Hold h, bool child) {
  char byte;
  if (h.end[0] < 0) return;
  int saved = errno;
  if (!child) {
    REAL(close)(h.end[1]);
    while (REAL(read)(h.end[0], &byte, 1) < 0 && errno == EINTR) {
    }
  }
  REAL(close)(h.end[0]);
  errno = saved;
}

EXPORT pid_t _Fork(void);
EXPORT pid_t _Fork(void) {
  if (!possible()) return -1;
  bool prepared = fork_prepare();
  pid_t pid = REAL(_Fork)();
  part(prepared, pid == 0);
  return pid;
}

/* Prepared by the handlers, which cannot refuse. */
EXPORT pid_t fork(void) { return possible() ? REAL(fork)() : -1; }

ALSO(__fork, fork);

/* What pthread_atfork is. */
EXPORT int __register_atfork(void (*before)(void), void (*parent)(void), void (*child)(void), void *library);
EXPORT int __register_atfork(void (*before)(void), void (*parent)(void), void (*child)(void), void *library) {
  fork_handlers_install();
  return REAL(__register_atfork)(before, parent, child, library);
}

typedef struct Start {
  int (*function)(void *);
  void *argument;
  Hold hold;
} Start;

/* The child of a clone without CLONE_VM finds its copy of the parent's stack, and this on it. */
static int start_child(void *start) {
  Start s = *(Start *)start;
  fork_child();
  wait_for_child(s.hold, true);
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
  if ((flags & CLONE_VM) && !(flags & CLONE_VFORK)) {
    real_find_all();
    fork_not_alone();
  }
  if (flags & CLONE_CHILD_CLEARTID) pin_for_good(child_tid, sizeof *child_tid);
  if ((flags & CLONE_VM) || !fork_prepare())
    return REAL(clone)(function, stack, flags, argument, parent_tid, tls, child_tid);
  uint64_t most = (unsigned)flags;
  Start start = {.function = function, .argument = argument, .hold = hold(&most)};
  int pid = REAL(clone)(start_child, stack, (int)most, &start, parent_tid, tls, child_tid);
  part(true, false);
  wait_for_child(start.hold, false);
  return pid;
}

ALSO(__clone, clone);

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

/* Waiting and waking may last, and the kernel stores nothing. */
static bool only_reads(long number, const uintptr_t *a) {
  const uintptr_t command = a[1] & ~(uintptr_t)(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
  return number == SYS_futex && (command == FUTEX_WAIT || command == FUTEX_WAKE || command == FUTEX_WAIT_BITSET ||
                                 command == FUTEX_WAKE_BITSET);
}

static bool makes_process(long number, const uintptr_t *a) {
#ifdef SYS_fork
  if (number == SYS_fork) return true;
#endif
  if (number == SYS_clone) return !(a[0] & CLONE_VM);
  if (number == SYS_clone3) return a[0] != 0 && !(((struct clone_args *)a[0])->flags & CLONE_VM);
  return false;
}

#if defined(__x86_64__)
enum { CHILD_TID_ARGUMENT = 3 };
#else
enum { CHILD_TID_ARGUMENT = 4 };
#endif

/* Small objects are all that meshes, and none is longer. */
enum { SYSCALL_STORES_MAX = 4096 };

/* What its arguments point to points on, to where the kernel stores. */
static bool points_on(long number) {
  static const long numbers[] = {
      SYS_readv,  SYS_preadv, SYS_preadv2, SYS_recvmsg,         SYS_recvmmsg,         SYS_vmsplice, SYS_ioctl,
      SYS_ptrace, SYS_bpf,    SYS_clone3,  SYS_process_vm_readv, SYS_process_vm_writev,
  };
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (number == numbers[i]) return true;
  return false;
}

static Published publish_call(long number, const uintptr_t *a) {
  Published p = {.hazard = NULL};
  if (only_reads(number, a)) return p;
  if (points_on(number)) return hazard_publish((void *)arena.base, load_relaxed(&arena.limit));
  for (int i = 0; i < 6; i++) hazard_add(&p, (void *)a[i], SYSCALL_STORES_MAX);
  return p;
}

/* `copy` is what a clone3 gets in the place of its arguments, if they change. */
static Hold hold_by_call(long number, uintptr_t *a, struct clone_args *copy) {
  uint64_t flags = 0;
  if (number == SYS_clone) flags = a[0];
  if (number == SYS_clone3) flags = ((struct clone_args *)a[0])->flags;
  const uint64_t asked = flags;
  Hold h = {{-1, -1}};
  if (number == SYS_clone3 && a[1] > sizeof *copy) return h;
  h = hold(&flags);
  if (flags == asked) return h;
  if (number == SYS_clone) {
    a[0] = (uintptr_t)flags;
  } else {
    memcpy(copy, (void *)a[0], a[1]);
    copy->flags = flags;
    a[0] = (uintptr_t)copy;
  }
  return h;
}

static bool opens_direct(long number, const uintptr_t *a) {
#ifdef SYS_open
  if (number == SYS_open) return a[1] & O_DIRECT;
#endif
  if (number == SYS_openat) return a[2] & O_DIRECT;
  const struct open_how *how = (const struct open_how *)a[2];
  if (number == SYS_openat2) return os_readable(how, sizeof *how) && (how->flags & O_DIRECT);
  return number == SYS_fcntl && a[1] == F_SETFL && (a[2] & O_DIRECT);
}

/* Where the kernel or a device stores when the call is long over: a thread's number at its end, what reads bring. */
static void expect_later_stores(long number, const uintptr_t *a) {
  const struct iovec *buffers = (const struct iovec *)a[2];
  if (number == SYS_io_uring_enter) expect_late_stores();
  if (opens_direct(number, a)) expect_direct_io();
  if (number == SYS_set_tid_address || number == SYS_rseq || number == SYS_set_robust_list)
    pin_for_good((void *)a[0], 64);
  if (number == SYS_clone && (a[0] & CLONE_CHILD_CLEARTID))
    pin_for_good((void *)a[CHILD_TID_ARGUMENT], sizeof(pid_t));
  if (number == SYS_io_uring_register && a[1] == IORING_REGISTER_BUFFERS)
    for (uintptr_t i = 0; i < a[3] && os_readable(buffers + i, sizeof *buffers); i++)
      pin_for_good(buffers[i].iov_base, buffers[i].iov_len);
}

/* A filter is asked for that may end the process later; not that a program only tries what the kernel knows. */
static bool is_filter(int option, unsigned long mode, unsigned long filter) {
  return option == PR_SET_SECCOMP && (mode == SECCOMP_MODE_STRICT || (mode == SECCOMP_MODE_FILTER && filter != 0));
}

static bool is_filter_call(long number, const uintptr_t *a) {
  if (number == SYS_prctl) return is_filter((int)a[0], a[1], a[2]);
  return number == SYS_seccomp &&
         (a[0] == SECCOMP_SET_MODE_STRICT || (a[0] == SECCOMP_SET_MODE_FILTER && a[2] != 0));
}

/* True, or errno says why it cannot be. In a child of vfork the memory is its parent's, who has no filter. */
static bool before_filter(bool *first) {
  *first = false;
  if (load_acquire(&init_done) && arena.process != os_process()) return true; /* acquire: init_slow's release */
  barrier_needs_segv(); /* asks the kernel, if nobody has yet: that must not come later */
  if (!meshing_stop(FORBIDDEN_FILTERED, first)) return false;
  barrier_end(true);
  return true;
}

static void filter_failed(void) {
  arena_mesh_allow(FORBIDDEN_FILTERED);
  barrier_end(false);
}

EXPORT int prctl(int option, ...) {
  unsigned long a[4];
  va_list list;
  va_start(list, option);
  for (int i = 0; i < 4; i++) a[i] = va_arg(list, unsigned long);
  va_end(list);
  bool stopped = false;
  if (is_filter(option, a[0], a[1]) && !before_filter(&stopped)) return -1;
  Published p = hazard_publish((void *)a[0], SYSCALL_STORES_MAX);
  hazard_add(&p, (void *)a[1], SYSCALL_STORES_MAX);
  int result = REAL(prctl)(option, a[0], a[1], a[2], a[3]);
  hazard_clear(p);
  if (stopped && result < 0) filter_failed();
  return result;
}

EXPORT long syscall(long number, ...) {
  uintptr_t a[6];
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(list, uintptr_t);
  va_end(list);
  long result;
  if (memory_lock_call(number, a, &result)) return result;
  if (number == SYS_futex) a[1] = (uintptr_t)private_futex(a[0], a[4], (long)a[1]);
  if (makes_process(number, a) && !possible()) return -1;
  bool stopped = false;
  if (is_filter_call(number, a) && !before_filter(&stopped)) return -1;
  uint64_t mask;
  open_mask_of_call(number, a, &mask);
  expect_later_stores(number, a);
  bool forks = makes_process(number, a) && fork_prepare();
  struct clone_args clone3;
  Hold held = {{-1, -1}};
  if (forks) held = hold_by_call(number, a, &clone3);
  Published p = publish_call(number, a);
  result = REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  hazard_clear(p);
  if ((number == SYS_io_uring_setup || number == SYS_io_setup) && result >= 0) expect_late_stores();
  if (stopped && result < 0) filter_failed();
  part(forks, result == 0);
  wait_for_child(held, result == 0);
  return result;
}
