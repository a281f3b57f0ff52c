#include "fake_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os_syscall.h"

FakeKernel fake_kernel;

const char *const kernel_call_names[KERNEL_CALLS] = {
    [NO_CALL] = "none",
    [MEMFD_CALL] = "memfd_create",
    [TRUNCATE_CALL] = "ftruncate",
    [MAP_WINDOW_CALL] = "mmap of the window",
    [MAP_MEMORY_CALL] = "mmap of memory",
    [MAP_FRESH_CALL] = "mmap of fresh memory in place",
    [MAP_FILE_CALL] = "private mmap of the file",
    [ALIAS_CALL] = "mremap of the window",
    [REPLACE_CALL] = "mremap of memory",
    [ASK_CALL] = "mremap in place",
    [PROTECT_CALL] = "mprotect to read-only",
    [MAKE_WRITABLE_CALL] = "mprotect to writable",
    [UFFD_OPEN_CALL] = "userfaultfd",
    [UFFD_API_CALL] = "UFFDIO_API",
    [UFFD_REGISTER_CALL] = "UFFDIO_REGISTER",
    [UFFD_PROTECT_CALL] = "UFFDIO_WRITEPROTECT",
    [UFFD_ALLOW_CALL] = "UFFDIO_WRITEPROTECT, to end it",
    [UFFD_UNREGISTER_CALL] = "UFFDIO_UNREGISTER",
    [MEMBARRIER_CALL] = "membarrier",
    [SIGACTION_CALL] = "rt_sigaction",
    [PUNCH_CALL] = "MADV_REMOVE",
    [PURGE_CALL] = "MADV_DONTNEED",
    [DONTDUMP_CALL] = "MADV_DONTDUMP",
    [DODUMP_CALL] = "MADV_DODUMP",
    [WIPEONFORK_CALL] = "MADV_WIPEONFORK",
    [PREAD_CALL] = "pread",
    [DUP_CALL] = "F_DUPFD_CLOEXEC",
    [OPEN_CALL] = "openat",
    [LIMIT_CALL] = "prlimit",
    [ANY_CALL] = "any",
};

static int error_of(KernelCall call) {
  switch (call) {
    case ASK_CALL: return EPERM;
    case MEMFD_CALL:
    case UFFD_OPEN_CALL: return ENFILE;
    case DUP_CALL:
    case OPEN_CALL: return EMFILE;
    case TRUNCATE_CALL:
    case PUNCH_CALL: return ENOSPC;
    case UFFD_API_CALL:
    case WIPEONFORK_CALL: return EINVAL;
    case UFFD_PROTECT_CALL:
    case UFFD_ALLOW_CALL:
    case DODUMP_CALL:
    case PURGE_CALL: return EAGAIN;
    case MEMBARRIER_CALL:
    case SIGACTION_CALL:
    case LIMIT_CALL: return EPERM;
    case PREAD_CALL: return EBADF;
    default: return ENOMEM;
  }
}

/* Without these at last nobody could go on. */
static bool is_vital(KernelCall call) {
  return call == MAKE_WRITABLE_CALL || call == UFFD_ALLOW_CALL || call == MAP_FILE_CALL || call == PREAD_CALL;
}

/* Counts a call; true if it is to fail. */
static bool fails(KernelCall call) {
  if (call == NO_CALL || fake_kernel.first_fail == 0) return false;
  if (fake_kernel.failing == ANY_CALL && is_vital(call)) return false;
  fake_kernel.calls[call]++;
  fake_kernel.calls[ANY_CALL]++;
  if (call == REPLACE_CALL && fake_kernel.replace_next) {
    fake_kernel.replace_next = false;
    fake_kernel.failed++;
    return true;
  }
  if (fake_kernel.failing != ANY_CALL && fake_kernel.failing != call) return false;
  unsigned n = fake_kernel.calls[fake_kernel.failing];
  if (n < fake_kernel.first_fail || n > fake_kernel.last_fail) return false;
  fake_kernel.failed++;
  fake_kernel.replace_next = fake_kernel.then_replace;
  return true;
}

static KernelCall advice_call(long advice) {
  switch (advice) {
    case MADV_REMOVE: return PUNCH_CALL;
    case MADV_DONTNEED: return PURGE_CALL;
    case MADV_DONTDUMP: return DONTDUMP_CALL;
    case MADV_DODUMP: return DODUMP_CALL;
    case MADV_WIPEONFORK: return WIPEONFORK_CALL;
    default: return NO_CALL;
  }
}

/* UFFDIO_WAKE does not fail on a descriptor that a range was just registered with. */
static KernelCall ioctl_call(unsigned long request, long argument) {
  switch (request) {
    case UFFDIO_API: return UFFD_API_CALL;
    case UFFDIO_REGISTER: return UFFD_REGISTER_CALL;
    case UFFDIO_UNREGISTER: return UFFD_UNREGISTER_CALL;
    case UFFDIO_WRITEPROTECT:
      return ((struct uffdio_writeprotect *)argument)->mode != 0 ? UFFD_PROTECT_CALL : UFFD_ALLOW_CALL;
    default: return NO_CALL;
  }
}

static KernelCall call_of(long number, long b, long c) {
  switch (number) {
    case SYS_memfd_create: return MEMFD_CALL;
    case SYS_mprotect: return c == PROT_READ ? PROTECT_CALL : MAKE_WRITABLE_CALL;
    case SYS_madvise: return advice_call(c);
    case SYS_ioctl: return ioctl_call((unsigned long)b, c);
    case SYS_userfaultfd: return UFFD_OPEN_CALL;
    case SYS_membarrier: return MEMBARRIER_CALL;
    case SYS_rt_sigaction: return SIGACTION_CALL;
    case SYS_pread64: return PREAD_CALL;
    case SYS_fcntl: return DUP_CALL;
    case SYS_openat: return OPEN_CALL;
    case SYS_prlimit64: return LIMIT_CALL;
    default: return NO_CALL;
  }
}

static size_t half(size_t size) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  return size / page / 2 * page;
}

/* A range that lies in several mappings may be changed as far as the first that cannot be split. */
static void do_half(long number, long a, long b, long c) {
  struct uffdio_range range;
  if (number == SYS_mprotect && half((size_t)b) > 0) raw_syscall(SYS_mprotect, a, half((size_t)b), c);
  if (number != SYS_ioctl) return;
  switch ((unsigned long)b) {
    case UFFDIO_REGISTER: {
      struct uffdio_register some = *(struct uffdio_register *)c;
      some.range.len = half(some.range.len);
      if (some.range.len > 0) raw_syscall(number, a, b, &some);
      break;
    }
    case UFFDIO_WRITEPROTECT: {
      struct uffdio_writeprotect some = *(struct uffdio_writeprotect *)c;
      some.range.len = half(some.range.len);
      if (some.range.len > 0) raw_syscall(number, a, b, &some);
      break;
    }
    case UFFDIO_UNREGISTER:
      range = *(struct uffdio_range *)c;
      range.len = half(range.len);
      if (range.len > 0) raw_syscall(number, a, b, &range);
      break;
  }
}

long fake_syscall6(long number, long a, long b, long c, long d, long e, long f) {
  KernelCall call = call_of(number, b, c);
  if (!fails(call)) return raw_syscall6(number, a, b, c, d, e, f);
  if (fake_kernel.halfway) do_half(number, a, b, c);
  return -error_of(call);
}

void *fake_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset) {
  KernelCall call = fd < 0                ? (flags & MAP_FIXED ? MAP_FRESH_CALL : MAP_MEMORY_CALL)
                    : flags & MAP_PRIVATE ? MAP_FILE_CALL
                                          : MAP_WINDOW_CALL;
  if (!fails(call)) return mmap(addr, size, prot, flags, fd, offset);
  errno = error_of(call);
  return MAP_FAILED;
}

void *fake_mremap(void *from, size_t from_size, size_t to_size, int flags, void *to) {
  KernelCall call = from_size == 0 ? ALIAS_CALL : flags == 0 ? ASK_CALL : REPLACE_CALL;
  if (!fails(call)) return mremap(from, from_size, to_size, flags, to);
  errno = error_of(call);
  return MAP_FAILED;
}

int fake_ftruncate(int fd, off_t size) {
  if (!fails(TRUNCATE_CALL)) return ftruncate(fd, size);
  errno = error_of(TRUNCATE_CALL);
  return -1;
}

int fake_clock_gettime(clockid_t clock, struct timespec *t) {
  int result = clock_gettime(clock, t);
  if (fake_kernel.stopped_s != 0) *t = (struct timespec){.tv_sec = fake_kernel.stopped_s};
  t->tv_sec += fake_kernel.ahead_ms / 1000;
  return result;
}
