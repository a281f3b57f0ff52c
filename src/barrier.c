#include "barrier.h"

#include "hazard.h"
#include "map_count.h"
#include "os.h"
#include "segv.h"

enum { SECTOR = 512 }; /* the least that a device stores */

static struct {
  BarrierKind kind; /* (mesh lock) */
  _Atomic int uffd; /* (~, changed under the mesh lock) stays open: closing the last descriptor walks all mappings */
  _Atomic size_t registered; /* (~, changed under the mesh lock) bytes from the arena's base */
  _Atomic bool late_stores, direct_io; /* (~) are to be expected */
  _Atomic bool ended; /* (~) */
  _Atomic bool torn;         /* (~) of what follows, some may be registered: it failed halfway */
  char *woken_from, *woken_to; /* (mesh lock) what this batch is to wake */
  uint64_t signals; /* (mesh lock) the mask to restore */
  bool forking;     /* (mesh lock) all locks are held, and mappings are not counted */
} barrier = {.kind = BARRIER_AUTO, .uffd = -1};

BarrierKind barrier_kind(void) { return barrier.kind; }

void barrier_fork(bool under_way) { barrier.forking = under_way; }

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
  if (uses_uffd(kind) && (barrier_fd() < 0 || !os_uffd_is_open(barrier_fd()))) {
    store_relaxed(&barrier.registered, 0);
    store_relaxed(&barrier.uffd, os_uffd_open(kind == BARRIER_UFFD_USER));
    if (barrier_fd() < 0) return false;
  }
  if (needs_hazards(kind) && (&hazard_calls_wrapped == NULL || !os_fence_all_threads())) return false;
  if (kind == BARRIER_MPROTECT && !decide_segv(SEGV_NEEDED)) return false; /* somebody blocks it by now */
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
  return barrier.kind != BARRIER_OFF;
}

/* Streams read into buffers of as many bytes as a block of the file has, 1024 for /proc and terminals and 4096
 * for most others; stacks are longer. */
bool barrier_allows(size_t object_size) {
  if (load_relaxed(&barrier.direct_io) && object_size >= SECTOR) return false;
  if (!needs_hazards(barrier.kind)) return true;
  return !load_relaxed(&barrier.late_stores) && object_size < 4096 && object_size != 1024;
}

/* Acquire pairs with nothing: it is the mesh lock, which the caller takes next, that orders them with batches. */
bool barrier_expect_late_stores(void) { return !exchange_acquire(&barrier.late_stores, true); }

bool barrier_expect_direct_io(void) { return !exchange_acquire(&barrier.direct_io, true); }

void barrier_start(void) {
  const bool wanted = options.barrier == BARRIER_MPROTECT && options.period_ms != 0;
  if (wanted && &hazard_calls_wrapped != NULL && decide_segv(SEGV_NEEDED)) segv_install();
}

void barrier_mapped_anew(void *addr, size_t size) {
  if (load_relaxed(&barrier.registered) > 0 && !os_uffd_register(barrier_fd(), addr, size)) map_count_apart();
}

/* What the arena has grown by. */
static bool register_arena(void) {
  const size_t from = load_relaxed(&barrier.registered), to = load_relaxed(&arena.limit);
  bool ok = from >= to || os_uffd_register(barrier_fd(), (char *)arena.base + from, to - from);
  if (ok) store_relaxed(&barrier.registered, max_size(from, to));
  store_relaxed(&barrier.torn, !ok);
  store_relaxed(&arena.mapped_anew, barrier_mapped_anew);
  return ok;
}

size_t barrier_maps(void) {
  const size_t registered = load_relaxed(&barrier.registered);
  if (load_relaxed(&barrier.torn)) return 2;
  return registered > 0 && registered < load_relaxed(&arena.limit);
}

bool barrier_open(void) {
  if (!barrier_choose() || !try_kind(barrier.kind)) return false;
  if (uses_uffd(barrier.kind) && !register_arena()) return false;
  barrier.woken_from = barrier.woken_to = NULL;
  if (barrier.kind == BARRIER_MPROTECT && !segv_install()) return false;
  os_signals_block(&barrier.signals);
  if (!needs_hazards(barrier.kind) || hazard_begin()) return true;
  os_signals_restore(&barrier.signals);
  return false;
}

void barrier_close(void) {
  if (barrier.woken_to > barrier.woken_from)
    os_uffd_wake(barrier_fd(), barrier.woken_from, (size_t)(barrier.woken_to - barrier.woken_from));
  if (needs_hazards(barrier.kind)) hazard_end();
  os_signals_restore(&barrier.signals);
}

bool barrier_holds(void) { return !uses_uffd(barrier.kind) || os_uffd_is_open(barrier_fd()); }

int barrier_fd(void) { return load_relaxed(&barrier.uffd); }

void barrier_move_fd(int fd) {
  if (fd == barrier_fd()) store_relaxed(&barrier.uffd, os_fd_move(fd));
}

void barrier_drop(void) {
  if (barrier_fd() >= 0 && os_uffd_is_open(barrier_fd())) os_close(barrier_fd());
  store_relaxed(&barrier.uffd, -1);
  store_relaxed(&barrier.registered, 0);
  /* It may be allowed less than its parent by the time it meshes. Until then wrappers publish again. */
  if (options.barrier == BARRIER_AUTO && uses_uffd(barrier.kind)) {
    store_relaxed(&hazard_wanted, !barrier_ended());
    barrier.kind = BARRIER_AUTO;
  }
}

void barrier_end(bool ended) {
  store_relaxed(&barrier.ended, ended);
  store_relaxed(&hazard_wanted, !ended);
}

bool barrier_ended(void) { return load_relaxed(&barrier.ended); }

void barrier_fork_child(void) { barrier_drop(); }

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
  return os_uffd_protect(barrier_fd(), addr, size, true);
}

static void count_apart(void) {
  if (!barrier.forking) map_count_apart();
}

bool barrier_protect(char *addr, size_t size) {
  if (holds_this_stack(addr, size)) return false;
  if (needs_hazards(barrier.kind) && (load_relaxed(&barrier.late_stores) || hazard_overlaps(addr, size))) return false;
  if (uses_uffd(barrier.kind) && barrier_fd() < 0) return false;
  if (protect(addr, size)) return true;
  /* Memory of a file is not registered. */
  if (uses_uffd(barrier.kind)) {
    if (!os_uffd_register(barrier_fd(), addr, size))
      count_apart(); /* part of it may be */
    else if (protect(addr, size))
      return true;
  }
  barrier_give_up(addr, size);
  return false;
}

void barrier_wake(char *addr, size_t size) {
  if (barrier.kind == BARRIER_MPROTECT) return;
  if (barrier.woken_from == NULL || addr < barrier.woken_from) barrier.woken_from = addr;
  if (addr + size > barrier.woken_to) barrier.woken_to = addr + size;
}

static bool unprotect(char *addr, size_t size) {
  if (barrier.kind == BARRIER_MPROTECT) return os_set_writable(addr, size, true);
  return os_uffd_protect(barrier_fd(), addr, size, false);
}

static bool is_anonymous(const char *addr, size_t size) {
  uint32_t page = page_of(addr), end = page + (uint32_t)bytes_to_pages(size);
  lock_acquire(&arena.lock);
  while (page < end && map_count_file_page(page) == 0) page++;
  lock_release(&arena.lock);
  return page == end;
}

void barrier_give_up(char *addr, size_t size) {
  enum { TRIES = 1000 };
  /* A limit (RLIMIT_DATA) may be reached because of another thread, for a while. */
  for (int i = 0; !unprotect(addr, size) && i < TRIES; i++) os_sleep_ms(1);
  /* It stays registered, as its anonymous neighbours are, but those of the file are not. */
  if (uses_uffd(barrier.kind) && !barrier.forking && !is_anonymous(addr, size)) map_count_apart();
}
