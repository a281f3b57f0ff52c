#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bits.h"
#include "os_syscall.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* Not by sysconf, which lies in pages of libc that few small programs read. */
size_t os_page_size(void) { return (size_t)getpagesize(); }

static void *map_at(void *addr, size_t size, int prot, int flags) {
  int saved = errno;
  void *p = mmap(addr, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  errno = saved;
  return p == MAP_FAILED ? NULL : p;
}

static bool advise(void *addr, size_t size, int advice) {
  return raw_syscall(SYS_madvise, addr, size, advice) == 0;
}

/* The number that stands `skip` others after the start of a file of /proc; 0 where it cannot be read. */
static size_t read_number(const char *path, int skip) {
  char text[128];
  int fd = (int)raw_syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  long n = raw_syscall(SYS_read, fd, text, sizeof text - 1), i = 0;
  raw_syscall(SYS_close, fd);
  size_t x = 0;
  for (; i < n && skip > 0; i++) skip -= text[i] == ' ';
  for (; i < n && text[i] >= '0' && text[i] <= '9'; i++) x = x * 10 + (size_t)(text[i] - '0');
  return x;
}

/* Numbers in /proc/self/statm, in pages, that stand after so many others. */
enum { STATM_SIZE = 0, STATM_DATA = 5 };

/* Bytes below the limit, which is on that number, less `but_for`; SIZE_MAX if there is none. */
static size_t left_below(int resource, int number, size_t but_for) {
  struct rlimit limit;
  if (raw_syscall(SYS_prlimit64, 0, resource, NULL, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return SIZE_MAX;
  size_t used = read_number("/proc/self/statm", number) * os_page_size();
  used = used > but_for ? used - but_for : 0;
  return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

size_t os_address_space_left(size_t but_for) {
  int saved = errno;
  size_t left = left_below(RLIMIT_AS, STATM_SIZE, but_for);
  errno = saved;
  return left;
}

size_t os_lockable_left(size_t but_for) {
  int saved = errno;
  size_t left = left_below(RLIMIT_MEMLOCK, STATM_SIZE, but_for);
  errno = saved;
  return left;
}

void *os_reserve(size_t size) { return map_at(NULL, size, PROT_NONE, MAP_NORESERVE); }

void *os_map(size_t size) { return map_at(NULL, size, PROT_READ | PROT_WRITE, 0); }

void *os_map_sparse(size_t size) { return map_at(NULL, size, PROT_READ | PROT_WRITE, MAP_NORESERVE); }

void os_unmap(void *addr, size_t size) {
  int saved = errno;
  munmap(addr, size);
  errno = saved;
}

bool os_commit(void *addr, size_t size) {
  return raw_syscall(SYS_mprotect, addr, size, PROT_READ | PROT_WRITE) == 0;
}

bool os_purge(void *addr, size_t size) { return advise(addr, size, MADV_DONTNEED); }

bool os_populate(void *addr, size_t size) {
  return advise(addr, size, MADV_POPULATE_WRITE);
}

size_t os_resident(void *addr, size_t size) {
  unsigned char there[1024];
  size_t pages = 0, all = size / os_page_size();
  for (size_t from = 0; from < all; from += sizeof there) {
    const size_t count = min_size(all - from, sizeof there);
    if (raw_syscall(SYS_mincore, (char *)addr + from * os_page_size(), count * os_page_size(), there) != 0) return size;
    for (size_t i = 0; i < count; i++) pages += there[i] & 1;
  }
  return pages * os_page_size();
}

/* As what os_reserve and os_commit made, so that the kernel makes one mapping of both: it does not join memory
 * that is reserved for with memory that is not. */
bool os_map_fresh(void *addr, size_t size) {
  return map_at(addr, size, PROT_READ | PROT_WRITE, MAP_NORESERVE | MAP_FIXED) == addr;
}

bool os_move_pages(void *from, size_t from_size, void *to, size_t to_size) {
  int saved = errno;
  void *p = mremap(from, from_size, to_size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
  errno = saved;
  /* Older kernels unmap the target before they find that they will not. */
  if (p != to) os_fill_hole(to, to_size);
  return p == to;
}

bool os_fill_hole(void *addr, size_t size) {
  void *p = map_at(addr, size, PROT_READ | PROT_WRITE, MAP_NORESERVE | MAP_FIXED_NOREPLACE);
  if (p != NULL && p != addr) os_unmap(p, size); /* before Linux 4.17 the flag is only a hint */
  return p == addr;
}

uint64_t os_now_ns(void) {
  struct timespec t = {0, 0};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t os_now_ms(void) {
  struct timespec t = {0, 0};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

void os_sleep_ms(uint32_t ms) {
  const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
  raw_syscall(SYS_nanosleep, &t, NULL);
}

uint64_t os_random(void) {
  uint64_t x = 0;
  if (raw_syscall(SYS_getrandom, &x, sizeof x, GRND_NONBLOCK) != sizeof x) x = os_now_ns() ^ (uintptr_t)&x;
  return x;
}

void os_futex_wait(uint32_t *word, uint32_t expected) {
  raw_syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL);
}

void os_futex_wake(uint32_t *word, int count) { raw_syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count); }

void os_futex_wake_shared(uint32_t *words, size_t size) {
  for (size_t i = 0; i < size / sizeof *words; i++) raw_syscall(SYS_futex, words + i, FUTEX_WAKE, INT_MAX);
}

void os_write(int fd, const char *text, size_t length) {
  while (length > 0) {
    long n = raw_syscall(SYS_write, fd, text, length);
    if (n == -EINTR) continue;
    if (n <= 0) break;
    text += n;
    length -= (size_t)n;
  }
}

void os_abort(void) { abort(); }

extern char __libc_single_threaded __attribute__((weak)); /* since glibc 2.32 */

bool os_single_threaded(void) { return &__libc_single_threaded != NULL && __libc_single_threaded; }

/* glibc's; the lock counts how often its owner has taken it. */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
extern void _IO_list_resetlock(void) __attribute__((weak));

void os_streams_lock(void) {
  if (_IO_list_lock != NULL) _IO_list_lock();
}

void os_streams_unlock(void) {
  if (_IO_list_unlock != NULL) _IO_list_unlock();
}

void os_streams_reset(void) {
  if (_IO_list_resetlock != NULL) _IO_list_resetlock();
}

/* What follows the = in NAME=VALUE; NULL if that is another's. */
static const char *value_of(const char *variable, const char *name) {
  size_t i = 0;
  while (name[i] != '\0' && variable[i] == name[i]) i++;
  return name[i] == '\0' && variable[i] == '=' ? variable + i + 1 : NULL;
}

const char *os_getenv(const char *name) {
  extern char **environ;
  const char *value = NULL;
  for (char **e = environ; e != NULL && *e != NULL && value == NULL; e++) value = value_of(*e, name);
  return value == NULL || getauxval(AT_SECURE) ? NULL : value;
}

/* ------------------------------------------------------------------------------------- meshing */

/* Since Linux 6.3; older headers do not have it. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static int memfd(void) {
  long fd = raw_syscall(SYS_memfd_create, "libmesh", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  if (fd == -EINVAL) fd = raw_syscall(SYS_memfd_create, "libmesh", MFD_CLOEXEC);
  return (int)fd;
}

/* Out of the way of programs that expect the lowest numbers for themselves, but within the table of
 * descriptors that every process begins with (64): to make a longer one takes the kernel some
 * milliseconds in a program with threads. */
enum { FD_LOWEST = 48 };

static int move_up(int fd) {
  long up = raw_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, FD_LOWEST);
  if (up < 0) return fd;
  raw_syscall(SYS_close, fd);
  return (int)up;
}

/* Growing a file past the limit would raise SIGXFSZ. */
static bool file_size_allowed(size_t size) {
  struct rlimit limit;
  return raw_syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) == 0 && limit.rlim_cur >= size;
}

void *os_window_open(size_t size, int *fd) {
  if (!file_size_allowed(size)) return NULL;
  int file = memfd();
  if (file < 0) return NULL;
  void *window = MAP_FAILED;
  int saved = errno;
  if (ftruncate(file, (off_t)size) == 0)
    window = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  /* A core dump would write, and so allocate, every page of it. */
  if (window != MAP_FAILED && !advise(window, size, MADV_DONTDUMP)) {
    munmap(window, size);
    window = MAP_FAILED;
  }
  errno = saved;
  if (window == MAP_FAILED) {
    raw_syscall(SYS_close, file);
    return NULL;
  }
  *fd = move_up(file);
  return window;
}

bool os_keep_from_child(void *addr, size_t size) { return advise(addr, size, MADV_DONTFORK); }

bool os_alias(void *window, size_t size, void *addr) {
  int saved = errno;
  void *p = mremap(window, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, addr);
  errno = saved;
  return p == addr;
}

void *os_map_spare(void *window) {
  int saved = errno;
  void *p = mremap(window, 0, os_page_size(), MREMAP_MAYMOVE, NULL);
  errno = saved;
  return p == MAP_FAILED ? NULL : p;
}

bool os_is_file_of(int fd, void *window) {
  volatile char *byte = window;
  char seen;
  for (int i = 0; i < 2; i++) {
    *byte = (char)(*byte + 1);
    if (raw_syscall(SYS_pread64, fd, &seen, 1, 0) != 1 || seen != *byte) return false;
  }
  return true;
}

bool os_map_private(int fd, size_t offset, size_t size, void *addr) {
  int saved = errno;
  void *p = mmap(addr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, fd, (off_t)offset);
  errno = saved;
  return p == addr;
}

bool os_private_allowed(size_t size) {
  size_t space = os_address_space_left(0);
  if (space != SIZE_MAX) return space > 0 && left_below(RLIMIT_DATA, STATM_DATA, 0) >= size;
  /* Also where the system allows no more than it has (vm.overcommit_memory=2). */
  void *p = os_map(size);
  if (p != NULL) os_unmap(p, size);
  return p != NULL;
}

bool os_replace(void *from, size_t size, void *to) {
  int saved = errno;
  void *p = mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
  errno = saved;
  return p == to;
}

/* Asks for it to grow in place over what is mapped behind it, which is refused with ENOMEM, or with EAGAIN if it is
 * locked; but memory in more than one mapping, which mremap does not take, is refused with EFAULT before that is looked
 * at. */
bool os_is_one_mapping(void *addr, size_t size, void *behind) {
  int saved = errno;
  size_t more = (size_t)((char *)behind - (char *)addr) + os_page_size();
  bool one = mremap(addr, size, more, 0, NULL) == MAP_FAILED && (errno == ENOMEM || errno == EAGAIN);
  errno = saved;
  return one;
}

uint32_t *os_wiped_on_fork(void) {
  size_t size = os_page_size();
  uint32_t *page = os_map(size);
  if (page == NULL) return NULL;
  if (!advise(page, size, MADV_WIPEONFORK)) {
    os_unmap(page, size);
    return NULL;
  }
  *page = 1;
  return page;
}

bool os_punch(void *window, size_t size) { return advise(window, size, MADV_REMOVE); }

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

/* The system call, or the device, whose permissions an administrator may have opened. */
static long uffd_new(bool user_only) {
  const int flags = O_CLOEXEC | O_NONBLOCK | (user_only ? UFFD_USER_MODE_ONLY : 0);
  long fd = raw_syscall(SYS_userfaultfd, flags);
  if (fd >= 0 || user_only) return fd;
  long device = raw_syscall(SYS_openat, AT_FDCWD, "/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  if (device < 0) return fd;
  fd = raw_syscall(SYS_ioctl, device, USERFAULTFD_IOC_NEW, flags);
  raw_syscall(SYS_close, device);
  return fd;
}

int os_uffd_open(bool user_only) {
  long fd = uffd_new(user_only);
  if (fd < 0) return -1;
  struct uffdio_api api = {.api = UFFD_API,
                           .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM};
  if (raw_syscall(SYS_ioctl, fd, UFFDIO_API, &api) == 0) return move_up((int)fd);
  raw_syscall(SYS_close, fd);
  return -1;
}

bool os_uffd_register(int fd, void *addr, size_t size) {
  struct uffdio_register reg = {.range = {.start = (uintptr_t)addr, .len = size},
                                .mode = UFFDIO_REGISTER_MODE_WP};
  return raw_syscall(SYS_ioctl, fd, UFFDIO_REGISTER, &reg) == 0;
}

bool os_uffd_protect(int fd, void *addr, size_t size, bool protected) {
  struct uffdio_writeprotect protect = {.range = {.start = (uintptr_t)addr, .len = size},
                                        .mode = protected ? UFFDIO_WRITEPROTECT_MODE_WP : 0};
  long result = raw_syscall(SYS_ioctl, fd, UFFDIO_WRITEPROTECT, &protect);
  /* From the first mapping on that is not registered nothing is protected, nor where the descriptor is gone. */
  return result == 0 || (!protected && (result == -ENOENT || result == -EBADF || result == -ENOTTY));
}

void os_uffd_wake(int fd, void *addr, size_t size) {
  struct uffdio_range range = {.start = (uintptr_t)addr, .len = size};
  raw_syscall(SYS_ioctl, fd, UFFDIO_WAKE, &range);
}

bool os_uffd_is_open(int fd) {
  /* A second handshake is an error of its own kind; anything but a userfaultfd does not know the call. */
  struct uffdio_api api = {.api = UFFD_API};
  long result = raw_syscall(SYS_ioctl, fd, UFFDIO_API, &api);
  return result != -EBADF && result != -ENOTTY;
}

void os_close(int fd) { raw_syscall(SYS_close, fd); }

int os_fd_move(int fd) {
  long moved = raw_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, FD_LOWEST);
  return moved < 0 ? -1 : (int)moved;
}

bool os_is_open(int fd) { return raw_syscall(SYS_fcntl, fd, F_GETFD) >= 0; }

bool os_set_dumped(void *addr, size_t size) { return advise(addr, size, MADV_DODUMP); }

bool os_set_undumped(void *addr, size_t size) { return advise(addr, size, MADV_DONTDUMP); }

bool os_set_writable(void *addr, size_t size, bool writable) {
  return raw_syscall(SYS_mprotect, addr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ) == 0;
}

/* Older headers lack the commands. */
enum { FENCE_EXPEDITED = 1 << 3, FENCE_REGISTER = 1 << 4 };

bool os_fence_all_threads(void) {
  if (raw_syscall(SYS_membarrier, FENCE_EXPEDITED, 0, 0) == 0) return true;
  return raw_syscall(SYS_membarrier, FENCE_REGISTER, 0, 0) == 0 &&
         raw_syscall(SYS_membarrier, FENCE_EXPEDITED, 0, 0) == 0;
}

#if defined(__x86_64__)
/* Where the kernel returns to from a handler; libc's is private. */
__asm__(
    ".pushsection .text\n"
    ".type mesh_signal_return, @function\n"
    "mesh_signal_return:\n"
    "  mov $15, %eax\n" /* rt_sigreturn */
    "  syscall\n"
    ".size mesh_signal_return, .-mesh_signal_return\n"
    ".popsection\n");
extern void mesh_signal_return(void) __attribute__((visibility("hidden")));
#endif

/* struct sigaction as the kernel has it; it puts handlers to work with any flag but needs to be told where
 * they return to on some machines. */
typedef struct KernelAction {
  uintptr_t handler;
  unsigned long flags;
#if defined(__x86_64__)
  uintptr_t restorer;
#endif
  uint64_t mask;
} KernelAction;

bool os_segv_action_set(const OsSignalAction *action, OsSignalAction *old) {
  KernelAction new = {.handler = action->handler, .flags = action->flags, .mask = action->mask}, before;
#if defined(__x86_64__)
  const unsigned long sa_restorer = 0x04000000;
  new.flags |= sa_restorer;
  new.restorer = (uintptr_t)mesh_signal_return;
#else
  const unsigned long sa_restorer = 0;
#endif
  if (raw_syscall(SYS_rt_sigaction, SIGSEGV, &new, &before, sizeof before.mask) != 0) return false;
  if (old != NULL)
    *old = (OsSignalAction){.handler = before.handler, .flags = before.flags & ~sa_restorer, .mask = before.mask};
  return true;
}

void os_signal_stack(uintptr_t *start, uintptr_t *end) {
  stack_t stack = {.ss_sp = NULL, .ss_size = 0};
  raw_syscall(SYS_sigaltstack, NULL, &stack);
  *start = (uintptr_t)stack.ss_sp;
  *end = *start + (stack.ss_flags & SS_DISABLE ? 0 : stack.ss_size);
}

bool os_segv_blocked(void) {
  uint64_t mask = 0;
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof mask);
  return mask >> (SIGSEGV - 1) & 1;
}

void os_signals_add(const uint64_t *mask) {
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, mask, NULL, sizeof *mask);
}

/* The kernel reads a mask before it finds that there is no such thing to do with it. */
static bool readable_word(const char *word) {
  enum { NOTHING_KNOWN = 99 };
  return raw_syscall(SYS_rt_sigprocmask, NOTHING_KNOWN, word, NULL, sizeof(uint64_t)) != -EFAULT;
}

bool os_readable(const void *addr, size_t size) {
  const char *first = addr;
  return addr != NULL && readable_word(first) && readable_word(first + size - sizeof(uint64_t));
}

int os_process(void) { return (int)raw_syscall(SYS_getpid); }

int os_parent(void) { return (int)raw_syscall(SYS_getppid); }

size_t os_max_map_count(void) {
  size_t count = read_number("/proc/sys/vm/max_map_count", 0);
  return count > 0 ? count : 65530;
}

bool os_commits_strictly(void) { return read_number("/proc/sys/vm/overcommit_memory", 0) == 2; }

void os_signals_block(uint64_t *saved) {
  const uint64_t all = ~(uint64_t)0;
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, saved, sizeof all);
}

void os_signals_restore(const uint64_t *saved) {
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, saved, NULL, sizeof *saved);
}
