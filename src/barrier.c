#include "barrier.h"

#include "hazard.h"
#include "map_count.h"
#include "os.h"
#include "segv.h"

static struct {
  BarrierKind kind; /* (mesh lock) */
  int uffd;         /* (mesh lock) stays open: closing the last descriptor walks all mappings */
  uint64_t signals; /* (mesh lock) the mask to restore */
} barrier = {.kind = BARRIER_AUTO, .uffd = -1};

BarrierKind barrier_kind(void) { return barrier.kind; }

/* ------------------------------------------------------------------------------- the back ends */

static bool uses_uffd(BarrierKind kind) { return kind == BARRIER_UFFD || kind == BARRIER_UFFD_USER; }

/* The kernel's own stores fail on protected pages: published buffers must be left alone. */
static bool needs_hazards(BarrierKind kind) { return kind == BARRIER_UFFD_USER || kind == BARRIER_MPROTECT; }

/* The program may have closed the descriptor by a system call of its own, or have a file of its own there
 * by now: not ours to close. Then another is opened. */
static bool try_kind(BarrierKind kind) {
  if (uses_uffd(kind) && (barrier.uffd < 0 || !os_uffd_is_open(barrier.uffd))) {
    barrier.uffd = os_uffd_open(kind == BARRIER_UFFD_USER);
    if (barrier.uffd < 0) return false;
  }
  if (needs_hazards(kind) && !os_fence_all_threads()) return false;
  return kind != BARRIER_OFF;
}

/* The one that is asked for, or the first that is to be had; BARRIER_AUTO if there is none. */
static BarrierKind find_kind(void) {
  static const BarrierKind order[] = {BARRIER_UFFD, BARRIER_UFFD_USER, BARRIER_MPROTECT};
  if (options.barrier == BARRIER_OFF) return BARRIER_OFF;
  if (options.barrier != BARRIER_AUTO) return try_kind(options.barrier) ? options.barrier : BARRIER_AUTO;
  for (unsigned i = 0; i < sizeof order / sizeof *order; i++)
    if (try_kind(order[i])) return order[i];
  return BARRIER_AUTO;
}

bool barrier_choose(void) {
  if (barrier.kind != BARRIER_AUTO) return barrier.kind != BARRIER_OFF;
  barrier.kind = find_kind();
  if (barrier.kind == BARRIER_AUTO) return false; /* descriptors or memory may be had again later */
  store_relaxed(&hazard_wanted, needs_hazards(barrier.kind));
  /* Streams read into buffers of as many bytes as a block of the file has, 1024 for /proc and terminals,
   * by calls that libc does not let us wrap. */
  if (needs_hazards(barrier.kind)) size_class_table[1024 / MIN_ALIGN] = (uint8_t)size_class_aligned(PINNED_ALIGN, 1024);
  return barrier.kind != BARRIER_OFF;
}

bool barrier_open(void) {
  if (!barrier_choose() || !try_kind(barrier.kind)) return false;
  if (barrier.kind == BARRIER_MPROTECT && !segv_install()) return false;
  os_signals_block(&barrier.signals);
  if (!needs_hazards(barrier.kind) || hazard_begin()) return true;
  os_signals_restore(&barrier.signals);
  return false;
}

void barrier_close(void) {
  if (needs_hazards(barrier.kind)) hazard_end();
  os_signals_restore(&barrier.signals);
}

int barrier_fd(void) { return barrier.uffd; }

void barrier_move_fd(int fd) {
  if (fd == barrier.uffd) barrier.uffd = os_fd_move(fd);
}

void barrier_fork_child(void) {
  if (barrier.uffd >= 0 && os_uffd_is_open(barrier.uffd)) os_close(barrier.uffd);
  barrier.uffd = -1;
}

/* --------------------------------------------------------------------------------- the ranges */

/* A page that was never touched has no page table entry to protect. Reading it makes one. */
static void touch(const char *addr, size_t size) {
  for (size_t at = 0; at < size; at += arena.page_size) (void)*(const volatile char *)(addr + at);
}

/* The calling thread's own stack must not be among what it would wait for. */
static bool holds_this_stack(const char *addr, size_t size) {
  const char here = 0;
  return (uintptr_t)&here - (uintptr_t)addr < size;
}

/* Stores wait, perhaps only those to part of the range if it fails. */
static bool protect(char *addr, size_t size) {
  if (barrier.kind == BARRIER_MPROTECT) return os_set_writable(addr, size, false);
  touch(addr, size);
  return os_uffd_protect(barrier.uffd, addr, size, true);
}

bool barrier_protect(char *addr, size_t size) {
  if (holds_this_stack(addr, size)) return false;
  if (needs_hazards(barrier.kind) && hazard_overlaps(addr, size)) return false;
  if (uses_uffd(barrier.kind) && barrier.uffd < 0) return false;
  if (uses_uffd(barrier.kind) && !os_uffd_register(barrier.uffd, addr, size)) {
    if (!os_uffd_unregister(barrier.uffd, addr, size)) map_count_apart();
    return false;
  }
  if (protect(addr, size)) return true;
  barrier_give_up(addr, size);
  return false;
}

void barrier_wake(char *addr, size_t size) {
  if (barrier.kind != BARRIER_MPROTECT) os_uffd_wake(barrier.uffd, addr, size);
}

/* The descriptor's no more; or at least not protected. */
static bool let_go(char *addr, size_t size) {
  if (barrier.kind == BARRIER_MPROTECT) return os_set_writable(addr, size, true);
  if (os_uffd_unregister(barrier.uffd, addr, size)) return true;
  if (!os_uffd_protect(barrier.uffd, addr, size, false)) return false;
  map_count_apart();
  return true;
}

void barrier_give_up(char *addr, size_t size) {
  enum { TRIES = 1000 };
  /* A limit (RLIMIT_DATA) may be reached because of another thread, for a while. */
  for (int i = 0; !let_go(addr, size) && i < TRIES; i++) os_sleep_ms(1);
}
