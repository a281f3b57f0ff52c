#include "os.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

#include "bits.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

size_t os_page_size(void) {
  long size = sysconf(_SC_PAGESIZE);
  return size > 0 ? (size_t)size : 4096;
}

static void *map_at(void *addr, size_t size, int prot, int flags) {
  int saved = errno;
  void *p = mmap(addr, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  errno = saved;
  return p == MAP_FAILED ? NULL : p;
}

static bool succeeded(int saved_errno, long result) {
  errno = saved_errno;
  return result == 0;
}

/* Pages mapped now: the first number in /proc/self/statm; 0 where it cannot be read. */
static size_t pages_mapped(void) {
  char text[64];
  int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  size_t pages = 0;
  for (ssize_t i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
    pages = pages * 10 + (size_t)(text[i] - '0');
  return pages;
}

size_t os_address_space_left(void) {
  int saved = errno;
  struct rlimit limit;
  size_t left = SIZE_MAX;
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    size_t used = pages_mapped() * os_page_size();
    left = limit.rlim_cur > used ? limit.rlim_cur - used : 0;
  }
  errno = saved;
  return left;
}

void *os_reserve(size_t size) { return map_at(NULL, size, PROT_NONE, MAP_NORESERVE); }

void *os_map(size_t size) { return map_at(NULL, size, PROT_READ | PROT_WRITE, 0); }

void os_unmap(void *addr, size_t size) {
  int saved = errno;
  munmap(addr, size);
  errno = saved;
}

bool os_commit(void *addr, size_t size) {
  return succeeded(errno, mprotect(addr, size, PROT_READ | PROT_WRITE));
}

bool os_purge(void *addr, size_t size) { return succeeded(errno, madvise(addr, size, MADV_DONTNEED)); }

bool os_populate(void *addr, size_t size) {
  return succeeded(errno, madvise(addr, size, MADV_POPULATE_WRITE));
}

bool os_map_fresh(void *addr, size_t size) {
  return map_at(addr, size, PROT_READ | PROT_WRITE, MAP_FIXED) == addr;
}

bool os_move_pages(void *from, size_t from_size, void *to, size_t to_size) {
  int saved = errno;
  void *p = mremap(from, from_size, to_size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
  errno = saved;
  return p == to;
}

bool os_fill_hole(void *addr, size_t size) {
  void *p = map_at(addr, size, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE);
  if (p != NULL && p != addr) os_unmap(p, size); /* before Linux 4.17 the flag is only a hint */
  return p == addr;
}

uint64_t os_now_ns(void) {
  struct timespec t = {0, 0};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint32_t os_now_ms(void) {
  struct timespec t = {0, 0};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return (uint32_t)((uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u);
}

uint64_t os_random(void) {
  int saved = errno;
  uint64_t x = 0;
  if (getrandom(&x, sizeof x, GRND_NONBLOCK) != sizeof x) x = os_now_ns() ^ (uintptr_t)&x;
  errno = saved;
  return x;
}

void os_futex_wait(uint32_t *word, uint32_t expected) {
  int saved = errno;
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
  errno = saved;
}

void os_futex_wake(uint32_t *word, int count) {
  int saved = errno;
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
  errno = saved;
}

void os_write(int fd, const char *text, size_t length) {
  int saved = errno;
  while (length > 0) {
    ssize_t n = write(fd, text, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text += n;
    length -= (size_t)n;
  }
  errno = saved;
}

void os_abort(void) { abort(); }

const char *os_getenv(const char *name) {
  extern char **environ;
  if (environ == NULL || getauxval(AT_SECURE)) return NULL;
  size_t length = strlen(name);
  for (char **e = environ; *e != NULL; e++)
    if (strncmp(*e, name, length) == 0 && (*e)[length] == '=') return *e + length + 1;
  return NULL;
}
