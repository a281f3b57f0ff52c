#include "barrier.h"

#include "os.h"

static struct {
  BarrierKind kind; /* (mesh lock) */
  int uffd;         /* (mesh lock) open during a pass only; closing it walks all mappings */
  uint64_t signals; /* (mesh lock) the mask to restore */
} barrier = {.kind = BARRIER_AUTO, .uffd = -1};

BarrierKind barrier_kind(void) { return barrier.kind; }
static bool choose(BarrierKind kind) {
  if ((kind == BARRIER_UFFD || kind == BARRIER_UFFD_USER) && barrier.uffd < 0) {
    barrier.uffd = os_uffd_open(kind == BARRIER_UFFD_USER);
    if (barrier.uffd < 0) return false;
  }
  barrier.kind = kind;
  return true;
}

static bool choose_any(void) {
  BarrierKind wanted = options.barrier;
  if (wanted != BARRIER_AUTO) return choose(wanted);
  return choose(BARRIER_UFFD);
}

bool barrier_open(void) {
  os_signals_block(&barrier.signals);
  bool ok = barrier.kind == BARRIER_AUTO ? choose_any() : choose(barrier.kind);
  if (!ok && barrier.kind == BARRIER_AUTO) barrier.kind = BARRIER_OFF;
  if (ok && barrier.kind != BARRIER_OFF) return true;
  os_signals_restore(&barrier.signals);
  return false;
}

/* A page that was never touched has no page table entry to protect. Reading it makes one. */
static void touch(const char *addr, size_t size) {
  const size_t page = os_page_size();
  for (size_t at = 0; at < size; at += page) (void)*(const volatile char *)(addr + at);
}

bool barrier_protect(char *addr, size_t size) {
  touch(addr, size);
  if (os_uffd_protect(barrier.uffd, addr, size)) return true;
  /* The program may have closed the descriptor, or have a file of its own there by now: not ours to
   * close. The next batch opens another. */
  barrier.uffd = -1;
  return false;
}

void barrier_wake(char *addr, size_t size) { os_uffd_wake(barrier.uffd, addr, size); }

void barrier_give_up(char *addr, size_t size) { os_uffd_unprotect(barrier.uffd, addr, size); }

void barrier_close(void) { os_signals_restore(&barrier.signals); }

void barrier_rest(void) {
  if (barrier.uffd >= 0 && os_uffd_is_open(barrier.uffd)) os_close(barrier.uffd);
  barrier.uffd = -1;
}
