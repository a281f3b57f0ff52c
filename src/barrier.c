#include "barrier.h"

#include "hazard.h"
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

/* What barrier_needs_segv says for good. */
enum { SEGV_UNDECIDED, SEGV_FREE, SEGV_NEEDED };
static _Atomic uint32_t segv_need; /* (~) */

/* False if it was decided otherwise before. */
static bool decide_segv(uint32_t need) {
  uint32_t before = SEGV_UNDECIDED;
  return cas_relaxed(&segv_need, &before, need) || before == need;
}

static bool uffd_is_there(void) {
  int fd = os_uffd_open(false);
  if (fd < 0) fd = os_uffd_open(true);
  if (fd >= 0) os_close(fd);
  return fd >= 0;
}

bool barrier_needs_segv(void) {
  if (load_relaxed(&segv_need) == SEGV_UNDECIDED) {
    bool wanted = options.period_ms != 0 && (options.barrier == BARRIER_AUTO || options.barrier == BARRIER_MPROTECT);
    bool needed = wanted && (options.barrier == BARRIER_MPROTECT || !uffd_is_there());
    decide_segv(needed ? SEGV_NEEDED : SEGV_FREE);
  }
  return load_relaxed(&segv_need) == SEGV_NEEDED;
}

/* The program may have closed the descriptor by a system call of its own, or have a file of its own there
 * by now: not ours to close. Then another is opened. */
static bool try_kind(BarrierKind kind) {
  if (uses_uffd(kind) && (barrier.uffd < 0 || !os_uffd_is_open(barrier.uffd))) {
    barrier.uffd = os_uffd_open(kind == BARRIER_UFFD_USER);
    if (barrier.uffd < 0) return false;
  }
  if (needs_hazards(kind) && (&hazard_calls_wrapped == NULL || !os_fence_all_threads())) return false;
  if (kind == BARRIER_MPROTECT && !decide_segv(SEGV_NEEDED)) return false; /* somebody blocks it by now */
  return kind != BARRIER_OFF;
}

static void choose(void) {
  static const BarrierKind order[] = {BARRIER_UFFD, BARRIER_UFFD_USER, BARRIER_MPROTECT};
  barrier.kind = BARRIER_OFF;
  if (options.barrier != BARRIER_AUTO) {
    if (try_kind(options.barrier)) barrier.kind = options.barrier;
  } else {
    for (unsigned i = 0; i < sizeof order / sizeof *order && barrier.kind == BARRIER_OFF; i++)
      if (try_kind(order[i])) barrier.kind = order[i];
  }
  store_relaxed(&hazard_wanted, needs_hazards(barrier.kind));
}

/* Streams read into buffers of as many bytes as a block of the file has, 1024 for /proc and terminals and 4096
 * for most others; stacks are longer. */
bool barrier_allows(size_t object_size) {
  return !needs_hazards(barrier.kind) || (object_size < 4096 && object_size != 1024);
}

bool barrier_open(void) {
  if (barrier.kind == BARRIER_AUTO) choose();
  if (!try_kind(barrier.kind)) return false;
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

bool barrier_holds(void) { return !uses_uffd(barrier.kind) || os_uffd_is_open(barrier.uffd); }

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

bool barrier_protect(char *addr, size_t size) {
  if (holds_this_stack(addr, size)) return false;
  if (needs_hazards(barrier.kind) && hazard_overlaps(addr, size)) return false;
  if (barrier.kind == BARRIER_MPROTECT) return os_set_writable(addr, size, false);
  if (barrier.uffd < 0) return false;
  touch(addr, size);
  return os_uffd_protect(barrier.uffd, addr, size);
}

void barrier_wake(char *addr, size_t size) {
  if (barrier.kind != BARRIER_MPROTECT) os_uffd_wake(barrier.uffd, addr, size);
}

void barrier_give_up(char *addr, size_t size) {
  if (barrier.kind == BARRIER_MPROTECT)
    os_set_writable(addr, size, true);
  else
    os_uffd_unprotect(barrier.uffd, addr, size);
}
