/* Below os_linux.c: each of its system calls can be made to fail, with the error that a kernel gives it, and
 * all others do what they always do. Compiled into a copy of os_linux.c (see fake_syscall.h). One script, for
 * the thread that runs the test. */
#ifndef UNIT_FAKE_KERNEL_H
#define UNIT_FAKE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* Calls by what they are for; NO_CALL is what cannot fail. */
typedef enum KernelCall {
  NO_CALL,
  MEMFD_CALL,
  TRUNCATE_CALL,
  MAP_WINDOW_CALL,
  MAP_MEMORY_CALL,
  MAP_FRESH_CALL,
  MAP_FILE_CALL,
  ALIAS_CALL,
  REPLACE_CALL,
  ASK_CALL,
  PROTECT_CALL,
  MAKE_WRITABLE_CALL,
  UFFD_OPEN_CALL,
  UFFD_API_CALL,
  UFFD_REGISTER_CALL,
  UFFD_PROTECT_CALL,
  UFFD_ALLOW_CALL,
  UFFD_UNREGISTER_CALL,
  MEMBARRIER_CALL,
  SIGACTION_CALL,
  PUNCH_CALL,
  PURGE_CALL,
  DONTDUMP_CALL,
  DODUMP_CALL,
  WIPEONFORK_CALL,
  PREAD_CALL,
  DUP_CALL,
  OPEN_CALL,
  LIMIT_CALL,
  ANY_CALL, /* all of them together */
  KERNEL_CALLS,
} KernelCall;

extern const char *const kernel_call_names[KERNEL_CALLS];

typedef struct FakeKernel {
  KernelCall failing;  /* which calls fail: ... */
  unsigned first_fail; /* ... those from this one on, counted from 1; 0 is none ... */
  unsigned last_fail;  /* ... to this one */
  uint32_t ahead_ms;   /* of the kernel's clock ... */
  time_t stopped_s;    /* ... or, if not 0, of one that stands still at so many seconds */
  bool halfway;        /* calls on a range of pages do the first half of it and fail then */
  bool then_replace;   /* after each of them the next REPLACE_CALL fails too */

  unsigned calls[KERNEL_CALLS]; /* made so far */
  unsigned failed;              /* of them, made to fail */
  bool replace_next;            /* the next REPLACE_CALL fails */
} FakeKernel;

extern FakeKernel fake_kernel;

/* The kernel's value: negative errno on failure. */
long fake_syscall6(long number, long a, long b, long c, long d, long e, long f);
void *fake_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
void *fake_mremap(void *from, size_t from_size, size_t to_size, int flags, void *to);
int fake_ftruncate(int fd, off_t size);
int fake_clock_gettime(clockid_t clock, struct timespec *t);

#endif
